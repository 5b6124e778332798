"""The slope of a function around a point: the talk's local Lipschitz constant, from below and with a witness."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks, loops
from lipjax.batching import in_chunks
from lipjax.estimators.draws import Draw
from lipjax.estimators.estimator import LocalEstimator, defined
from lipjax.estimators.growing import growing_search, search_ball
from lipjax.estimators.precision import in_full
from lipjax.estimators.quotient import sure_quotient
from lipjax.norms import Norm, l2, named
from lipjax.types import Estimate, KeyArray, Point, VectorFn
from lipjax.values import count, setting

_AT_ONCE = 25
"""Random points evaluated at once, so that memory does not grow with their number."""

_SMALLEST_BALL = 1.0 / 32.0
"""Radius of the first ball that `ascent_slope` searches, as a part of the radius."""


class sampled_slope(LocalEstimator):
    """Slope from random perturbations, `max_n ||f(x + e_n) - f(x)|| / ||e_n||`.

    The value is the quotient at the witness, a lower bound of the slope. In many dimensions it is far below: use it to
    repeat published protocols, and `ascent_slope` to measure. The quotient is taken less what rounding may have added
    (`quotient.sure_quotient`), with the perturbation that is left where points are clipped to the box.

    Attributes:
        ball: Where perturbed points are, and the norm of perturbations.
        norm_out: Norm of output differences.
        num_samples: Number of perturbations.
        draw: Law of perturbations on the unit ball, see `estimators.draws`; default uniform, `ball.norm.sample`.

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures" (arXiv 1909.05095).

    Examples:
        >>> estimator = sampled_slope(l2.ball(0.5, box=None), num_samples=10)
        >>> estimator(jax.random.key(0), lambda x: 3.0 * x, jnp.zeros(4)).value
        Array(3., dtype=float32)
    """

    _: dataclasses.KW_ONLY
    norm_out: Norm = setting(l2, words=named)
    num_samples: int = count(100)
    draw: Draw | None = setting(None)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        f, x = self.prepared(f, x)
        quotient = sure_quotient(f, x, norm_in=self.ball.norm, norm_out=self.norm_out)
        draw = self.draw or self.ball.norm.sample

        def at(sample_key: KeyArray) -> Point:
            return self.ball.clip(x + self.ball.radius * draw(sample_key, x.shape).astype(x.dtype))

        keys = jax.random.split(key, self.num_samples)
        values = in_chunks(lambda sample_key: quotient(at(sample_key)), _AT_ONCE)(keys)
        best = jnp.argmax(values)
        return Estimate(values[best], at(keys[best]))


class ascent_slope(LocalEstimator):
    """Slope by projected ascent on the difference quotient `||f(x + e) - f(x)|| / ||e||` over `||e|| <= radius`.

    The search runs in balls that grow from radius / 32 to the radius, so that what is steep close to x is found too. In
    every ball it tries random perturbations, around 0 and around the best one so far (functions with kinks are steepest
    on edges, which gradients do not follow), and climbs from the best of either kind. The value is the quotient at the
    witness less what rounding may have added (`quotient.sure_quotient`), a lower bound of the slope. For many radii at
    once use `slope_curve`.

    Attributes:
        ball: Where it searches, and the norm of perturbations and steps.
        norm_out: Norm of output differences.
        num_samples: Perturbations of each kind per ball.
        num_steps: Gradient steps per ascent, of which there are two per ball.
        num_restarts: Number of balls; with 1 only that of the radius itself is searched.

    References:
        Ours. Yang et al. 2020, "A closer look at accuracy vs. robustness" (arXiv 2003.02460), climb the same quotient
        for 10 sign steps of 0.003; their released code adds the gradient of the negated quotient, so it descends.

    Examples:
        >>> matrix = jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> estimator = ascent_slope(l2.ball(0.5, box=None))
        >>> estimator(jax.random.key(0), lambda x: matrix @ x, jnp.ones(2)).value.round(3)
        Array(2., dtype=float32)
    """

    _: dataclasses.KW_ONLY
    norm_out: Norm = setting(l2, words=named)
    num_samples: int = count(32)
    num_steps: int = count(5)
    num_restarts: int = count(24)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        f, x = self.prepared(f, x)
        climbed = sure_quotient(f, x, norm_in=self.ball.norm, norm_out=self.norm_out)

        def grow(best: Estimate, level: tuple[KeyArray, Any]) -> tuple[Estimate, None]:
            ball = self.ball.replace(radius=level[1])
            counts = {"num_samples": self.num_samples, "num_steps": self.num_steps, "num_restarts": 1}
            return search_ball(level[0], climbed, x, best, ball, **counts), None

        radii = self.ball.radius * jnp.geomspace(1.0, _SMALLEST_BALL, self.num_restarts, dtype=x.dtype)[::-1]
        nothing = Estimate(jnp.zeros((), x.dtype), x)
        return defined(f, x, loops.scan(grow, nothing, (jax.random.split(key, self.num_restarts), radii))[0])


class growing_slope(LocalEstimator):
    """Slope by projected ascent in balls that grow along a fixed grid of radii: one search for all radii.

    The grid (3 radii below 0.01, then 20 per decade) does not depend on the radii that are asked for, so the cost does
    not grow with their number: about `(1 + num_restarts) * num_steps` gradients and `2 * num_samples` values of f per
    grid radius up to the largest radius, and 43 grid radii up to 1. `slope_curve` and `curve` use it that way. The
    value is the quotient at the witness less what rounding may have added (`quotient.sure_quotient`), a lower bound.

    Attributes:
        ball: Where it searches, and the norm of perturbations and steps.
        norm_out: Norm of output differences.
        num_samples: Random perturbations per grid radius, on the sphere and as many around the best so far.
        num_steps: Gradient steps per ascent, of which there are `1 + num_restarts` per grid radius.
        num_restarts: Ascents per grid radius that start from random perturbations.

    Examples:
        >>> estimator = growing_slope(l2.ball(1.0, box=None), num_samples=4)
        >>> estimator(jax.random.key(0), lambda x: x @ x, jnp.array([3.0, 4.0])).value.round(2)  # 2 ||x|| + r
        Array(11., dtype=float32)
    """

    _: dataclasses.KW_ONLY
    norm_out: Norm = setting(l2, words=named)
    num_samples: int = count(16)
    num_steps: int = count(5)
    num_restarts: int = count(2)

    def check(self) -> None:
        super().check()
        checks.at_least(self.num_restarts, num_samples=self.num_samples)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        f, x = self.prepared(f, x)
        found = self.along(key, f, x, jnp.atleast_1d(jnp.asarray(self.ball.radius, x.dtype)))
        return defined(f, x, jax.tree.map(lambda leaf: leaf[0], found))

    def along(self, key: KeyArray, f: VectorFn, x: Point, radii: Float[Array, " radii"]) -> Estimate:
        """Slopes at all radii; see `growing.growing_search` for the guarantees."""
        f, x = in_full(f, x)
        quotient = sure_quotient(f, x, norm_in=self.ball.norm, norm_out=self.norm_out)
        counts = {name: getattr(self, name) for name in ("num_samples", "num_steps", "num_restarts")}
        return growing_search(key, quotient, x, radii, self.ball, **counts)
