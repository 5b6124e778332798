"""Qian and Wegman's classifiers: one scalar network per class, each of which never expands an L2 distance."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.layers import Channels, Layers, named, nonexpansive
from lipjax.layers.vanilla import Hidden
from lipjax.networks.family import Family, are_sizes
from lipjax.values import count, setting

Stages = tuple[tuple[int, ...], ...]


class _PerClass(nn.Module):
    """A shared trunk, then for every class convolutions, dense layers and one linear output."""

    trunk_stages: Stages
    trunk_widths: tuple[int, ...]
    head_stages: Stages
    head_widths: tuple[int, ...]
    crop: int | None
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

        def stack(x: Hidden, stages: Stages, widths: tuple[int, ...], prefix: str) -> Hidden:
            for stage, convs in enumerate(stages):
                for index, channels in enumerate(convs):
                    name = f"{prefix}_conv{stage}_{index}"
                    x = layers.conv(channels, 3, 1, dtype=self.dtype, name=name)(x)
                    representations[name] = x = layers.activation(x)
                x = layers.pool(x, (2, 2))
            for index, width in enumerate(widths):
                name = f"{prefix}_dense{index}"
                x = layers.dense(width, dtype=self.dtype, name=name)(x.reshape(x.shape[0], -1))
                representations[name] = x = layers.activation(x)
            return x

        x = layers.standardize(_center_crop(inputs, self.crop), self.mean, self.std)
        x = stack(x, self.trunk_stages, self.trunk_widths, "trunk")
        logits = []
        for label in range(self.num_classes):
            head = stack(x, self.head_stages, self.head_widths, f"head{label}")
            output = layers.dense(1, dtype=jnp.float32, name=f"logit{label}")
            logits.append(output(head.reshape(head.shape[0], -1)))
        return jnp.concatenate(logits, axis=-1), representations


def _center_crop(
    images: Float[Array, "batch height width channels"], size: int | None
) -> Float[Array, "batch _ _ channels"]:
    if size is None:
        return images
    if size > min(images.shape[1:3]):
        raise ValueError(f"crop must be at most the side of the images, {min(images.shape[1:3])}, got {size}")
    top, left = ((length - size) // 2 for length in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


class per_class(Family):
    """Qian and Wegman's classifier: a trunk that the classes share and a head for each, with one output.

    On nonexpansive layers every logit is 1-Lipschitz for the L2 norm of the pixels, so a prediction can't change within
    half the gap between the two largest logits. The logit vector as a whole is not: a network whose last layer is one
    matrix, such as `cnn(layers=nonexpansive)`, is, and its radius is the gap over sqrt(2). Representations are
    `trunk_conv0_0`, ..., `trunk_dense0`, ..., `head0_dense0`, ...

    Attributes:
        layers: Which layers it is built from; another kind than `nonexpansive` gives up the promise.
        trunk_stages: Stages of the trunk. A stage is a tuple of channel counts, one 3x3 convolution each, and ends
            with a pooling of 2 x 2 windows. The released MNIST model has the shape `((c1,), (c2,))`.
        trunk_widths: Features of the trunk's dense layers, which come after its stages.
        head_stages: Stages of every head. With an empty trunk the classes have separate networks; the released CIFAR-10
            model has the shape `((c1, c2), (c3,))`.
        head_widths: Features of the dense layers of every head.
        crop: Side of the square that is cut from the center of the images (28 in the CIFAR-10 model); None for no crop.

    References:
        Qian and Wegman 2019, "L2-Nonexpansive Neural Networks" (arXiv 1802.07896), and the inference scripts of
        the released models. Their widths are in the models' files only: the ones here are ours.

    Examples:
        >>> separate = per_class(
        ...     10, trunk_stages=(), trunk_widths=(), head_stages=((8, 8), (8,)), head_widths=(16,), crop=28
        ... )
    """

    _: dataclasses.KW_ONLY
    layers: Layers = setting(nonexpansive, words=named)
    trunk_stages: Stages = setting(((16,), (32,)), are_sizes)
    trunk_widths: tuple[int, ...] = setting((64,), are_sizes)
    head_stages: Stages = setting((), are_sizes)
    head_widths: tuple[int, ...] = setting((16,), are_sizes)
    crop: int | None = count(None)

    def module(self) -> nn.Module:
        """The flax module."""
        trunk, head = (self.trunk_stages, self.trunk_widths), (self.head_stages, self.head_widths)
        return _PerClass(*trunk, *head, self.crop, **self.shared)
