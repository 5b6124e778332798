"""Pre-activation residual networks: `preact_resnet` for its depth, `wide_resnet` for its width."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers import Channels, Layers
from lipjax.layers.vanilla import Hidden
from lipjax.networks.family import Family
from lipjax.values import count, setting

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class _ResNet(nn.Module):
    """Stages of pre-activation blocks; every stage but the first halves height and width.

    Where a block changes the shape, its skip connection is a 1x1 convolution that reads the block's first nonlinearity.
    """

    stem: int
    stages: tuple[tuple[int, int], ...]
    num_classes: int
    layers: Layers
    mean: Channels
    std: Channels
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "batch ..."], train: bool
    ) -> tuple[Float[Array, "batch classes"], dict[str, Hidden]]:
        layers, representations = self.layers, {}

        def conv(features: int, kernel_size: int, strides: int, name: str) -> nn.Module:
            return layers.conv(features, kernel_size, strides, use_bias=False, dtype=self.dtype, name=f"{name}_conv")

        def activate(x: Hidden, name: str) -> Hidden:
            x = layers.normalize(train, dtype=self.dtype, name=f"{name}_norm")(x)
            representations[name] = x = layers.activation(x)
            return x

        def block(x: Hidden, features: int, strides: int, name: str) -> Hidden:
            active = activate(x, f"{name}_first")
            scales = layers.merge(name=f"{name}_merge")()
            if strides > 1 or x.shape[-1] != features:
                skip = conv(features, 1, strides, f"{name}_skip")(scales.split_skip * active)
            else:
                skip = scales.split_skip * x
            body = conv(features, 3, strides, f"{name}_first")(scales.split_body * active)
            body = conv(features, 3, 1, f"{name}_second")(activate(body, f"{name}_second"))
            return (scales.merge_body * body + scales.merge_skip * skip).astype(self.dtype)

        x = layers.standardize(inputs, self.mean, self.std)
        x = conv(self.stem, 3, 1, "stem")(x)
        for stage, (blocks, features) in enumerate(self.stages):
            for index in range(blocks):
                strides = 2 if stage > 0 and index == 0 else 1
                x = block(x, features, strides, f"stage{stage}_block{index}")
        x = activate(x, "final")
        x = layers.pool(x, (x.shape[1], x.shape[2])).reshape(x.shape[0], -1)
        return layers.dense(self.num_classes, dtype=jnp.float32, name="logits")(x), representations


class preact_resnet(Family):
    """A pre-activation residual network of two-convolution blocks, with a 3x3 stem for images of at least 8 x 8.

    Its representations are both nonlinearities of every block and the last one before the pooling: 17 for depth 18, the
    layer set of Laplacian networks.

    Attributes:
        depth: 18 or 34 layers.
        width: Channels of the first stage; the three that follow have 2, 4 and 8 times as many.

    References:
        He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027).

    Examples:
        >>> import jax
        >>> network = preact_resnet(10, width=4)
        >>> shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), (32, 32, 3)))
        >>> shapes.params["logits"]["kernel"].shape
        (32, 10)
    """

    _: dataclasses.KW_ONLY
    depth: int = setting(18)
    width: int = count(64)

    def check(self) -> None:
        if self.depth not in _BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, _BLOCKS))}; got {self.depth}")

    def module(self) -> nn.Module:
        """The flax module."""
        stages = tuple((blocks, self.width * 2**stage) for stage, blocks in enumerate(_BLOCKS[self.depth]))
        return _ResNet(self.width, stages, **self.shared)


class wide_resnet(Family):
    """A wide residual network WRN-depth-width, without dropout, for images of at least 8 x 8.

    Its representations are both nonlinearities of every block and the last one before the pooling: 25 for depth 28, the
    layer set of Laplacian networks.

    Attributes:
        depth: Number of layers, `6 n + 4` for n blocks per stage.
        width: Channels of the three stages over 16, 32 and 64.

    References:
        Zagoruyko and Komodakis 2016, "Wide Residual Networks" (arXiv 1605.07146).

    Examples:
        >>> network = wide_resnet(10, depth=16, width=4)
    """

    depth: int = setting(28)
    width: int = count(10)

    def check(self) -> None:
        if self.depth % 6 != 4 or self.depth < 10:
            raise ValueError(f"depth must be 6 n + 4 (10, 16, 22, 28, ...), got {self.depth}")

    def module(self) -> nn.Module:
        """The flax module."""
        stages = tuple(((self.depth - 4) // 6, channels * self.width) for channels in (16, 32, 64))
        return _ResNet(16, stages, **self.shared)
