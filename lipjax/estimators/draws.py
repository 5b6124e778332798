"""How perturbations are drawn: functions `(key, shape) -> point` of the unit ball.

`norm.sample` is uniform in the ball. The values here turn noise into a law on the sphere or in the ball:

    on_sphere(l2)           uniform directions (a Gaussian's), length exactly 1
    on_sphere(l2, linf)     the talk's: entries uniform in [-1, 1], rescaled to length 1
    on_sphere(linf, linf)   uniform on the faces of the cube
    in_ball(l1)             a Gaussian's directions, lengths as in the uniform law
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lipjax.chance import drawn
from lipjax.norms import Norm, named
from lipjax.types import KeyArray, Point
from lipjax.values import Value, setting

Draw = Callable[[KeyArray, tuple[int, ...]], Point]


class on_sphere(Value):
    """Noise rescaled to length 1 in a norm.

    Attributes:
        norm: The norm of the sphere; a masked one leaves the other entries at 0.
        noise: The norm in whose unit ball noise is uniform; None for a Gaussian.

    Examples:
        >>> from lipjax.norms import linf
        >>> linf.value(on_sphere(linf)(jax.random.key(0), (4, 4)))
        Array(1., dtype=float32)
    """

    norm: Norm = setting(words=named)
    noise: Norm | None = setting(None, words=named)

    def __call__(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        """A point with `norm.value(point) = 1`."""
        noise = drawn(jax.random.normal, key, shape) if self.noise is None else self.noise.sample(key, shape)
        direction = self.norm.project(noise, jnp.inf)  # keeps the entries that may move
        return direction / self.norm.value(direction)


class in_ball(on_sphere):
    """Noise rescaled to length `U^(1/n)`, the law of the length of a uniform point of the n-dimensional unit ball.

    Attributes:
        norm: The norm of the ball.
        noise: The norm in whose unit ball noise is uniform; None for a Gaussian.

    Examples:
        >>> from lipjax.norms import linf
        >>> points = jax.vmap(lambda key: in_ball(linf)(key, (2,)))(jax.random.split(jax.random.key(0), 1000))
        >>> jax.numpy.abs(points).max(axis=1).mean()  # n / (n + 1) for n = 2
        Array(0.67, dtype=float32)
    """

    def __call__(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        """A point with `norm.value(point) <= 1`."""
        direction_key, length_key = jax.random.split(key)
        direction = super().__call__(direction_key, shape)
        return direction * jax.random.uniform(length_key) ** (1.0 / math.prod(shape))
