"""The layers without constraint, which are the base of all others, and the modules that they are made of.

A family (`mlp`, `cnn`, ...) is written once and asks its `Layers` for a dense layer, a convolution, a nonlinearity.
Each module notes the arrays that it applies, with `keep`: from these a trained network is frozen.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers.convolution import convolve
from lipjax.types import KeyArray
from lipjax.values import Value, setting

Channels: TypeAlias = float | tuple[float, ...]
"""One number for all channels, or one per channel."""

Hidden: TypeAlias = Float[Array, "batch ..."]
Kernel: TypeAlias = Float[Array, "*taps in_features features"]
Reparametrization: TypeAlias = Callable[[Kernel, int], Kernel]
"""`(stored kernel, strides) -> the kernel that is applied`."""


class Weights(NamedTuple):
    """Scales of a residual connection `y = merge_body * body(split_body * x) + merge_skip * skip(split_skip * x)`."""

    split_body: Float[Array, ""] | float
    split_skip: Float[Array, ""] | float
    merge_body: Float[Array, ""] | float
    merge_skip: Float[Array, ""] | float


_modest = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def modest(key: KeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """A kernel of variance 1 / (3 fan_in), PyTorch's default.

    With He's, six times that, small networks start so steep that adversarial training makes them constant and they stay
    at chance. Drawn as a matrix: the same numbers, compiled in a third of the time.
    """
    return _modest(key, (math.prod(shape[:-1]), shape[-1]), dtype).reshape(shape)


def keep(module: nn.Module, **arrays: Array) -> None:
    """Notes the arrays that a layer's map is made of: a frozen network has them in place of the layer's parameters."""
    module.sow("intermediates", "frozen", arrays, reduce_fn=lambda before, new: new, init_fn=dict)


def stored(module: nn.Module, name: str) -> Array | None:
    """A parameter of whatever shape it was stored in; None where there is none yet."""
    return module.get_variable("params", name)


def applied_kernel(module: Any, shape: tuple[int, ...], strides: int = 1) -> Kernel:
    """The kernel that a layer applies: reparametrized, or as it is stored where there is no reparametrization."""
    if module.reparametrize is None and (kernel := stored(module, "kernel")) is not None:
        return kernel
    kernel = module.param("kernel", module.kernel_init, shape)
    return kernel if module.reparametrize is None else module.reparametrize(kernel, strides)


class Dense(nn.Module):
    """A linear map of the last axis, `x W + b`, with the kernel reparametrized; parameters are float32."""

    features: int
    dtype: Any = jnp.float32
    reparametrize: Reparametrization | None = None
    kernel_init: Callable[..., Array] = modest

    @nn.compact
    def __call__(self, x: Float[Array, "... in_features"]) -> Float[Array, "... features"]:
        """Applies the layer."""
        kernel = applied_kernel(self, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        keep(self, kernel=kernel, bias=bias)
        return x.astype(self.dtype) @ kernel.astype(self.dtype) + bias.astype(self.dtype)


class Conv(nn.Module):
    """A two-dimensional convolution with a square kernel, reparametrized; parameters are float32."""

    features: int
    kernel_size: int
    strides: int = 1
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = jnp.float32
    reparametrize: Reparametrization | None = None
    kernel_init: Callable[..., Array] = modest

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        if x.ndim != 4:
            raise ValueError(f"a convolution needs images [height, width, channel], got {x.shape[1:]}")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        return convolve_biased(self, x, applied_kernel(self, shape, self.strides))


def convolve_biased(module: Any, x: Hidden, kernel: Kernel) -> Hidden:
    """The convolution of a module with a kernel, and with the module's bias if it has one."""
    y = convolve(x.astype(module.dtype), kernel.astype(module.dtype), strides=module.strides, padding=module.padding)
    if not module.use_bias:
        keep(module, kernel=kernel)
        return y
    bias = module.param("bias", nn.initializers.zeros, (module.features,))
    keep(module, kernel=kernel, bias=bias)
    return y + bias.astype(module.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation: batch statistics in training, running averages in evaluation."""

    train: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the layer."""
        return nn.BatchNorm(not self.train, momentum=0.9, dtype=self.dtype, name="norm")(x)


def weights(module: nn.Module, *scales: Float[Array, ""] | float) -> Weights:
    """The scales of a module, noted for a frozen network."""
    if module.is_mutable_collection("intermediates"):  # otherwise programs would have a stack that nobody reads
        keep(module, weights=jnp.stack([jnp.asarray(scale) for scale in scales]))
    return Weights(*scales)


class Sum(nn.Module):
    """The plain residual sum `body(x) + skip(x)`: Lipschitz constants add up."""

    @nn.compact
    def __call__(self) -> Weights:
        """The scales."""
        return weights(self, 1.0, 1.0, 1.0, 1.0)


class StoredWeights(nn.Module):
    """Scales of a frozen network; a plain sum where none are stored."""

    @nn.compact
    def __call__(self) -> Weights:
        """The scales."""
        scales = stored(self, "weights")
        return weights(self, *(jnp.ones(4) if scales is None else scales))


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


class Layers(Value):
    """A record of layers: this one without any constraint; others replace parts of it.

    What most replace is how the stored kernel becomes the one that is applied, `reparametrize`, where kernels start,
    `kernel_init`, and the module of scales of a residual connection, `residual`.

    Attributes:
        is_frozen: Whether kernels and scales are used as they are stored: those that `Network.freeze` stores.

    Examples:
        >>> from lipjax import networks
        >>> class absolute(Layers):
        ...     name = "absolute"
        ...     def activation(self, x):
        ...         return jnp.abs(x)
        >>> networks.mlp(10, layers=absolute())
        mlp(num_classes=10, layers=absolute)
        >>> vanilla.standardize(jnp.array([[1.0, 0.5]]), mean=0.5, std=0.25)
        Array([[2., 0.]], dtype=float32)
    """

    name: ClassVar[str] = "vanilla"
    reparametrize: ClassVar[Any] = None
    kernel_init: ClassVar[Any] = staticmethod(modest)
    residual: ClassVar[type[nn.Module]] = Sum
    is_frozen: bool = setting(False)

    def standardize(self, inputs: Hidden, mean: Channels, std: Channels) -> Hidden:
        """What happens to pixels before the first layer: `(pixels - mean) / std`."""
        return (inputs - per_channel(mean, inputs)) / per_channel(std, inputs)

    def dense(self, features: int, **options: Any) -> nn.Module:
        """A module `x -> y`, with options `dtype` and `name`."""
        return Dense(features, **self._kernel, **options)

    def conv(self, features: int, kernel_size: int, strides: int = 1, **options: Any) -> nn.Module:
        """A module `x -> y` with padding SAME, with options `use_bias`, `dtype` and `name`."""
        return Conv(features, kernel_size, strides, **self._kernel, **options)

    def normalize(self, train: bool, **options: Any) -> nn.Module:
        """A module `x -> y` of the same shape, with options `dtype` and `name`."""
        return BatchNorm(train, **options)

    def activation(self, x: Hidden) -> Hidden:
        """The nonlinearity; it may change the number of channels."""
        return nn.relu(x)

    def pool(self, x: Hidden, window: tuple[int, int]) -> Hidden:
        """From non-overlapping windows `(height, width)` to one entry each."""
        return average_pool(x, window)

    def merge(self, name: str | None = None) -> nn.Module:
        """A module `() -> Weights` of a residual connection."""
        return (StoredWeights if self.is_frozen else self.residual)(name=name)

    def freeze(self) -> "Layers":
        """The layers of the frozen network: the same for all that differ only in how they store what they apply."""
        same = vars(type(self)).get("frozen_as")
        return same(is_frozen=True) if same else self.replace(is_frozen=True)

    def __repr__(self) -> str:
        return f"frozen {self.name}" if self.is_frozen else self.name

    @property
    def _kernel(self) -> dict[str, Any]:
        return {"reparametrize": None if self.is_frozen else self.reparametrize, "kernel_init": self.kernel_init}


vanilla = Layers()
"""Layers without any constraint: batch normalisation, ReLU, residual sums."""
