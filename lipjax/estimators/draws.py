"""How perturbations are drawn: functions `(key, shape) -> point` of the unit ball.

`norm.sample` is uniform in the ball. The constructors here turn any noise into a law on the sphere or in the ball:

    on_sphere(l2)                                   uniform directions (a Gaussian's), length exactly 1
    on_sphere(l2, linf.sample)                      the talk's: entries uniform in [-1, 1], rescaled to length 1
    on_sphere(linf, linf.sample)                    uniform on the faces of the cube
    in_ball(l1)                                     a Gaussian's directions, lengths as in the uniform law
"""

import math
from collections.abc import Callable

import jax
from jaxtyping import Array

from lipjax.norms import Norm
from lipjax.types import KeyArray, Point

Draw = Callable[[KeyArray, tuple[int, ...]], Point]


def on_sphere(norm: Norm, noise: Callable[[KeyArray, tuple[int, ...]], Array] = jax.random.normal) -> Draw:
    """Noise rescaled to length 1 in a norm.

    Args:
        norm: The norm of the sphere.
        noise: `(key, shape) -> array`; Gaussian by default.

    Returns:
        `(key, shape) -> point` with `norm.value(point) = 1`.

    Example:
        >>> from lipjax.norms import linf
        >>> linf.value(on_sphere(linf)(jax.random.key(0), (4, 4)))
        Array(1., dtype=float32)
    """

    def draw(key: KeyArray, shape: tuple[int, ...]) -> Point:
        direction = noise(key, shape)
        return direction / norm.value(direction)

    return draw


def in_ball(norm: Norm, noise: Callable[[KeyArray, tuple[int, ...]], Array] = jax.random.normal) -> Draw:
    """Noise rescaled to length `U^(1/n)`, the law of the length of a uniform point of the n-dimensional unit ball.

    Args:
        norm: The norm of the ball.
        noise: `(key, shape) -> array`; Gaussian by default.

    Returns:
        `(key, shape) -> point` with `norm.value(point) <= 1`.
    """
    direction = on_sphere(norm, noise)

    def draw(key: KeyArray, shape: tuple[int, ...]) -> Point:
        direction_key, length_key = jax.random.split(key)
        return direction(direction_key, shape) * jax.random.uniform(length_key) ** (1.0 / math.prod(shape))

    return draw
