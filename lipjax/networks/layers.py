"""Layers: the parts a network family is built from, as one record, so that a system replaces parts and not families.

A family (`mlp`, `cnn`, ...) is written once and asks its `Layers` for a dense layer, a convolution, a nonlinearity.
What a Lipschitz method changes is mostly how the stored kernel becomes the linear map that is applied: a function
`reparametrize(kernel, strides) -> kernel` of `Dense` and `Conv`. A method with layers of another kind passes
constructors of its own modules with the same arguments.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.networks.convolution import convolve

Channels: TypeAlias = float | tuple[float, ...]
"""One number for all channels, or one per channel."""

Hidden: TypeAlias = Float[Array, "batch ..."]
Kernel: TypeAlias = Float[Array, "*taps in_features features"]
Reparametrization: TypeAlias = Callable[[Kernel, int], Kernel]
"""`(stored kernel, strides) -> the kernel that is applied`."""


class Layers(NamedTuple):
    """Constructors of layers.

    Attributes:
        standardize: `(inputs, mean, std) -> inputs`, what happens to pixels before the first layer.
        dense: `(features, dtype=..., name=...)` to a module `x -> y`.
        conv: `(features, kernel_size, strides, use_bias=..., dtype=..., name=...)` to a module `x -> y`, SAME padding.
        normalize: `(train, dtype=..., name=...)` to a module `x -> y` of the same shape.
        activation: The nonlinearity `x -> y`; it may change the number of channels.
        pool: `(x, window) -> y` on non-overlapping windows `(height, width)`.
        merge: `(name=...)` to a module `() -> Weights` of a residual connection.
    """

    standardize: Callable[[Hidden, Channels, Channels], Hidden]
    dense: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    normalize: Callable[..., nn.Module]
    activation: Callable[[Hidden], Hidden]
    pool: Callable[[Hidden, tuple[int, int]], Hidden]
    merge: Callable[..., nn.Module]


class Weights(NamedTuple):
    """Scales of a residual connection `y = merge_body * body(split_body * x) + merge_skip * skip(split_skip * x)`."""

    split_body: Float[Array, ""] | float
    split_skip: Float[Array, ""] | float
    merge_body: Float[Array, ""] | float
    merge_skip: Float[Array, ""] | float


modest = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Variance 1 / (3 fan_in), PyTorch's default. With He's, six times that, small networks start so steep that adversarial
training makes them constant and they stay at chance."""


def as_stored(kernel: Kernel, strides: int) -> Kernel:
    """The kernel itself: the reparametrization of a layer without constraint."""
    return kernel


class Dense(nn.Module):
    """A linear map of the last axis, `x W + b`, with the kernel reparametrized; parameters are float32."""

    features: int
    dtype: Any = jnp.float32
    reparametrize: Reparametrization = as_stored
    kernel_init: Callable[..., Array] = modest

    @nn.compact
    def __call__(self, x: Float[Array, "... in_features"]) -> Float[Array, "... features"]:
        """Applies the layer."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel = self.reparametrize(kernel, 1).astype(self.dtype)
        return x.astype(self.dtype) @ kernel + bias.astype(self.dtype)


class Conv(nn.Module):
    """A two-dimensional convolution with a square kernel, reparametrized; parameters are float32."""

    features: int
    kernel_size: int
    strides: int = 1
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = jnp.float32
    reparametrize: Reparametrization = as_stored
    kernel_init: Callable[..., Array] = modest

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        if x.ndim != 4:
            raise ValueError(f"a convolution needs images [height, width, channel], got {x.shape[1:]}")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.reparametrize(self.param("kernel", self.kernel_init, shape), self.strides)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), strides=self.strides, padding=self.padding)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation: batch statistics in training, running averages in evaluation."""

    train: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        return nn.BatchNorm(not self.train, momentum=0.9, dtype=self.dtype, name="norm")(x)


class Sum(nn.Module):
    """The plain residual sum `body(x) + skip(x)`: Lipschitz constants add up."""

    def __call__(self) -> Weights:
        """The scales."""
        return Weights(1.0, 1.0, 1.0, 1.0)


def standardize(inputs: Hidden, mean: Channels, std: Channels) -> Hidden:
    """Pixels to `(pixels - mean) / std`."""
    return (inputs - per_channel(mean, inputs)) / per_channel(std, inputs)


def per_channel(statistic: Channels, inputs: Hidden) -> Float[Array, "*channels"]:
    """A statistic as an array that broadcasts over the inputs without changing their shape."""
    values = jnp.asarray(statistic)
    if values.ndim and values.shape != inputs.shape[-1:]:
        raise ValueError(f"mean and std are for {len(values)} channels, the inputs have {inputs.shape[-1]}")
    return values


def split_windows(
    x: Float[Array, "batch height width channels"], window: tuple[int, int]
) -> Float[Array, "batch rows window_height columns window_width channels"]:
    """Non-overlapping windows; rows and columns at the end that fill no window are dropped."""
    batch, height, width, channels = x.shape
    rows, columns = height // window[0], width // window[1]
    x = x[:, : rows * window[0], : columns * window[1]]
    return x.reshape(batch, rows, window[0], columns, window[1], channels)


def average_pool(x: Hidden, window: tuple[int, int]) -> Hidden:
    """Means of non-overlapping windows."""
    return jnp.mean(split_windows(x, window), axis=(2, 4))


vanilla = Layers(
    standardize=standardize,
    dense=Dense,
    conv=Conv,
    normalize=BatchNorm,
    activation=nn.relu,
    pool=average_pool,
    merge=Sum,
)
"""Layers without any constraint: batch normalisation, ReLU, residual sums."""
