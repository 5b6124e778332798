"""Networks without residual connections: `mlp` and `cnn`."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.networks.from_linen import from_linen
from lipjax.networks.layers import Channels, Layers, vanilla
from lipjax.types import Network

Representations = dict[str, Float[Array, "batch ..."]]
Result = tuple[Float[Array, "batch classes"], Representations]


class _Plain(nn.Module):
    """Strided convolutions, then dense layers, a nonlinearity after each; and a linear classifier."""

    num_classes: int
    channels: tuple[int, ...]
    widths: tuple[int, ...]
    layers: Layers
    mean: Channels
    std: Channels
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, "batch ..."], train: bool) -> Result:
        layers, representations = self.layers, {}
        x = layers.standardize(inputs, self.mean, self.std)
        for index, channels in enumerate(self.channels):
            x = layers.conv(channels, 3, 2, dtype=self.dtype, name=f"conv{index}")(x)
            representations[f"conv{index}"] = x = layers.activation(x)
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.widths):
            x = layers.dense(width, dtype=self.dtype, name=f"dense{index}")(x)
            representations[f"dense{index}"] = x = layers.activation(x)
        return layers.dense(self.num_classes, dtype=jnp.float32, name="logits")(x), representations


def mlp(
    num_classes: int,
    *,
    widths: tuple[int, ...] = (256, 256),
    layers: Layers = vanilla,
    mean: Channels = 0.0,
    std: Channels = 1.0,
    dtype: Any = jnp.float32,
) -> Network:
    """A multilayer perceptron on the flattened input.

    Args:
        num_classes: Number of classes.
        widths: Features of the hidden layers.
        layers: Which layers it is built from: `vanilla`, `parseval`, `nonexpansive`, ...
        mean: Mean of the pixels, in pixels in [0, 1]: one number, or one per channel.
        std: Standard deviation of the pixels, likewise.
        dtype: Type of the computation; parameters and logits are float32.

    Returns:
        The network. Inputs may have any shape; representations are `dense0`, `dense1`, ...

    Raises:
        ValueError: If a size is not a whole number of at least 1, or std is not positive.

    Example:
        >>> import jax
        >>> network = mlp(10, widths=(64,))
        >>> variables = network.init(jax.random.key(0), (28, 28, 1))
        >>> output, _ = network.apply(variables, jnp.zeros((5, 28, 28, 1)), train=False)
        >>> output.logits.shape, output.representations["dense0"].shape
        ((5, 10), (5, 64))
    """
    return cnn(num_classes, channels=(), widths=widths, layers=layers, mean=mean, std=std, dtype=dtype)


def cnn(
    num_classes: int,
    *,
    channels: tuple[int, ...] = (16, 32),
    widths: tuple[int, ...] = (64,),
    layers: Layers = vanilla,
    mean: Channels = 0.0,
    std: Channels = 1.0,
    dtype: Any = jnp.float32,
) -> Network:
    """A small convolutional network: 3x3 convolutions of stride 2, dense layers, a linear classifier.

    Args:
        num_classes: Number of classes.
        channels: Features of the convolutions; each halves height and width.
        widths: Features of the hidden dense layers.
        layers: Which layers it is built from: `vanilla`, `parseval`, `nonexpansive`, ...
        mean: Mean of the pixels, in pixels in [0, 1]: one number, or one per channel.
        std: Standard deviation of the pixels, likewise.
        dtype: Type of the computation; parameters and logits are float32.

    Returns:
        The network, for images of any size and number of channels; representations are `conv0`, ..., `dense0`, ...

    Raises:
        ValueError: If a size is not a whole number of at least 1, or std is not positive.

    Example:
        >>> import jax
        >>> variables = cnn(10).init(jax.random.key(0), (28, 28, 1))
        >>> output, _ = cnn(10).apply(variables, jnp.zeros((5, 28, 28, 1)), train=False)
        >>> {name: value.shape for name, value in output.representations.items()}
        {'conv0': (5, 14, 14, 16), 'conv1': (5, 7, 7, 32), 'dense0': (5, 64)}
    """
    checks.at_least(1, num_classes=num_classes, **{f"size {n}": n for n in (*channels, *widths)})
    checks.positive(std=np.asarray(std))
    return from_linen(_Plain(num_classes, tuple(channels), tuple(widths), layers, mean, std, dtype))
