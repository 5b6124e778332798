"""Slices against XLA's convolution on CPU, by shape: what the rule of `lipjax.layers.convolution` is derived from.

    python -m benchmarks.convolutions [--num_rounds=5] [--batch_size=100]

Processor time in ms of a layer `relu(convolution(x))`: forward, with the derivative by the input (an attack), and with
that by the kernel too (training; in the first layer of a network by the kernel only). Both take turns, and the best of
the rounds is told. `windows` is what the rule looks at: how many values all windows of one image have.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lipjax import report
from lipjax.layers import convolution

WAYS = {"slices": convolution._by_slices, "XLA": convolution._by_xla}
LEAST_SECONDS = 0.03


class Shape(NamedTuple):
    """A layer with a square input and kernel."""

    size: int
    channels: int
    features: int
    taps: int
    strides: int

    def pads(self) -> list[tuple[int, int]]:
        """Zeros around the image, as for "SAME"."""
        return jax.lax.padtype_to_pads((self.size,) * 2, (self.taps,) * 2, (self.strides,) * 2, "SAME")

    def num_values(self) -> int:
        """Values of all windows of one image."""
        return (-(-self.size // self.strides)) ** 2 * self.taps**2 * self.channels


SHAPES = [
    *(Shape(28, 1, 16, 3, 2), Shape(14, 16, 32, 3, 2)),  # cnn
    *(Shape(32, 3, 16, 3, 2), Shape(16, 16, 32, 3, 2)),
    *(Shape(32, 3, 32, 3, 2), Shape(16, 32, 64, 3, 2)),  # cnn(channels=(32, 64))
    *(Shape(32, 3, 16, 3, 1), Shape(32, 16, 16, 3, 1), Shape(16, 32, 32, 3, 1), Shape(8, 64, 64, 3, 1)),  # a ResNet
    *(Shape(4, 128, 128, 3, 1), Shape(8, 64, 128, 3, 2), Shape(32, 16, 32, 1, 2), Shape(8, 64, 128, 1, 2)),
]


def programs(shape: Shape, way: str, images: jax.Array, kernel: jax.Array) -> dict[str, Callable[[], Any]]:
    """A layer by one of the ways, compiled: what it costs alone, in an attack and in training."""

    def layer(images: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.nn.relu(WAYS[way](images, kernel, shape.strides, shape.pads()))

    def training(images: jax.Array, kernel: jax.Array) -> Any:
        if shape.channels <= 3:  # the images themselves
            return jax.vjp(lambda kernel: layer(images, kernel), kernel)[1](maps)
        return jax.vjp(lambda x, kernel: layer(jax.nn.relu(x), kernel), images, kernel)[1](maps)

    def attack(images: jax.Array, kernel: jax.Array) -> Any:
        return jax.vjp(lambda x: layer(jax.nn.relu(x), kernel), images)[1](maps)

    maps = layer(images, kernel)
    parts = {"forward": layer, "attack": attack, "training": training}
    compiled = {part: jax.jit(f).lower(images, kernel).compile() for part, f in parts.items()}
    return {part: functools.partial(finished, f, images, kernel) for part, f in compiled.items()}


def finished(f: Callable[..., Any], *operands: jax.Array) -> Any:
    """What a program gives, once it has."""
    return jax.block_until_ready(f(*operands))


def milliseconds(run: Callable[[], Any]) -> float:
    """Processor time of one call, over as many as are needed to measure it."""
    count, spent = 0, 0.0
    while spent < LEAST_SECONDS:
        start = time.process_time()
        run()
        count, spent = count + 1, spent + time.process_time() - start
    return 1e3 * spent / count


def row(shape: Shape, batch_size: int, num_rounds: int) -> dict[str, str]:
    """A row of the table."""
    image_key, kernel_key = jax.random.split(jax.random.key(0))
    images = jax.random.normal(image_key, (batch_size, shape.size, shape.size, shape.channels))
    kernel = jax.random.normal(kernel_key, (shape.taps, shape.taps, shape.channels, shape.features))
    runs = {way: programs(shape, way, images, kernel) for way in WAYS}
    rounds = [
        {(part, way): milliseconds(run) for way, parts in runs.items() for part, run in parts.items()}
        for _ in range(num_rounds)
    ]
    best = {name: min(one[name] for one in rounds) for name in rounds[0]}
    is_small = convolution._has_small_windows(images, kernel, shape.strides, shape.pads())
    return {
        "size, channels, features, taps, strides": ", ".join(map(str, shape)),
        "windows": str(shape.num_values()),
        **{part: " / ".join(f"{best[part, way]:.2f}" for way in WAYS) for part in ("forward", "attack", "training")},
        "chosen": "slices" if is_small else "XLA",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_rounds", type=int, default=5, help="rounds in which the ways take turns")
    parser.add_argument("--batch_size", type=int, default=100, help="images at once")
    flags = parser.parse_args()
    print(f"ms, {' / '.join(WAYS)}, batch {flags.batch_size}")
    print(report.text_table([row(shape, flags.batch_size, flags.num_rounds) for shape in SHAPES]))


if __name__ == "__main__":
    main()
