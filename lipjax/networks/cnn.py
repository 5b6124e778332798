"""Networks without residual connections: `mlp` and `cnn`."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers import Channels, Layers
from lipjax.networks.family import Family, are_sizes
from lipjax.values import setting

Representations = dict[str, Float[Array, "batch ..."]]
Result = tuple[Float[Array, "batch classes"], Representations]


class _Plain(nn.Module):
    """Strided convolutions, then dense layers, a nonlinearity after each; and a linear classifier."""

    channels: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int
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


class mlp(Family):
    """A multilayer perceptron on the flattened input.

    Inputs may have any shape; representations are `dense0`, `dense1`, ...

    Attributes:
        widths: Features of the hidden layers.

    Examples:
        >>> import jax
        >>> network = mlp(10, widths=(64,))
        >>> variables = network.init(jax.random.key(0), (28, 28, 1))
        >>> output, _ = network.apply(variables, jnp.zeros((5, 28, 28, 1)), train=False)
        >>> output.logits.shape, output.representations["dense0"].shape
        ((5, 10), (5, 64))
    """

    _: dataclasses.KW_ONLY
    widths: tuple[int, ...] = setting((256, 256), are_sizes)

    def module(self) -> nn.Module:
        """The flax module."""
        return _Plain((), self.widths, **self.shared)


class cnn(Family):
    """A small convolutional network: 3x3 convolutions of stride 2, dense layers, a linear classifier.

    It takes images of any size and number of channels; representations are `conv0`, ..., `dense0`, ...

    Attributes:
        channels: Features of the convolutions; each halves height and width.
        widths: Features of the hidden dense layers.

    Examples:
        >>> import jax
        >>> variables = cnn(10).init(jax.random.key(0), (28, 28, 1))
        >>> output, _ = cnn(10).apply(variables, jnp.zeros((5, 28, 28, 1)), train=False)
        >>> {name: value.shape for name, value in output.representations.items()}
        {'conv0': (5, 14, 14, 16), 'conv1': (5, 7, 7, 32), 'dense0': (5, 64)}
    """

    _: dataclasses.KW_ONLY
    channels: tuple[int, ...] = setting((16, 32), are_sizes)
    widths: tuple[int, ...] = setting((64,), are_sizes)

    def module(self) -> nn.Module:
        """The flax module."""
        return _Plain(self.channels, self.widths, **self.shared)
