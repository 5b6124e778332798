"""A user's convolutions in a loop: PGD as one program beside the same steps one by one, in one run.

    python -m benchmarks.loops [--num_steps=10] [--num_images=16] [--num_rounds=5]

Three small convolutional layers of flax.linen on images of 32x32. `lipjax` is PGD on all images, whose steps are one
loop; `outside` is the same program for one step, called from Python; `XLA` is the loop with XLA's convolutions as they
are (`LIPJAX_XLA_CONVOLUTIONS=1`). Rounds take turns, so that whatever else runs slows all of them; medians of processor
time are told, without compilation.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lipjax import attacks
from lipjax.losses import cross_entropy
from lipjax.norms import linf

BALL = linf.ball(8 / 255)


class Convolutional(nn.Module):
    """What a user writes."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        for features, strides in ((32, 1), (64, 2), (64, 2)):
            images = nn.relu(nn.Conv(features, (3, 3), strides)(images))
        return nn.Dense(10)(images.reshape(len(images), -1))


def attacked(params: Any, num_steps: int, step_size: float) -> Callable[[jax.Array, jax.Array], jax.Array]:
    attack = attacks.pgd(BALL, step_size=step_size, num_steps=num_steps, random_start=False, best_iterate=False)

    def one(x: jax.Array, center: jax.Array) -> jax.Array:
        return attack(jax.random.key(0), lambda x: cross_entropy(Convolutional().apply(params, x[None])[0], 0), center)

    return jax.jit(jax.vmap(one))


def outside(params: Any, num_steps: int, step_size: float) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def loss(images: jax.Array) -> jax.Array:
        logits = Convolutional().apply(params, images)
        return jnp.sum(jax.vmap(cross_entropy)(logits, jnp.zeros(len(logits), int)))

    @jax.jit
    def step(images: jax.Array, centers: jax.Array) -> jax.Array:
        return jax.vmap(lambda *one: BALL.step(*one, step_size))(images, jax.grad(loss)(images), centers)

    def run(images: jax.Array, centers: jax.Array) -> jax.Array:
        for _ in range(num_steps):
            images = step(images, centers)
        return images

    return run


def milliseconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def measured(num_steps: int, num_images: int, num_rounds: int) -> tuple[dict[str, float], dict[str, jax.Array]]:
    """Medians in ms, and where the images end, of each."""
    images = jax.random.uniform(jax.random.key(0), (num_images, 32, 32, 3))
    params = Convolutional().init(jax.random.key(1), images)
    runs, points = {}, {}
    for name, make, is_switched_off in (("lipjax", attacked, "0"), ("XLA", attacked, "1"), ("outside", outside, "0")):
        os.environ["LIPJAX_XLA_CONVOLUTIONS"] = is_switched_off
        attack = make(params, num_steps, 2 / 255)
        points[name] = attack(images, images)
        runs[name] = lambda attack=attack: attack(images, images).block_until_ready()
    rounds = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(num_rounds)]
    return {name: statistics.median(one[name] for one in rounds) for name in runs}, points


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in (("num_steps", 10), ("num_images", 16), ("num_rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    medians, points = measured(**vars(parser.parse_args()))
    for name, median in medians.items():
        differing = float(jnp.mean(jnp.abs(points[name] - points["outside"]) > 1e-6))
        ratio = median / medians["outside"]
        print(f"{name:8} {median:8.1f} ms  {ratio:6.2f} x outside  {100 * differing:.3f} % of pixels differ")


if __name__ == "__main__":
    main()
