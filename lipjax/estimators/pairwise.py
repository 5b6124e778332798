"""The pairwise slope: the Lipschitz constant of a function on a ball, between any two of its points."""

import dataclasses
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, ArrayLike

from lipjax import loops
from lipjax.batching import in_chunks
from lipjax.estimators.estimator import LocalEstimator, larger, largest
from lipjax.estimators.quotient import rounding_error, safe_ratio
from lipjax.norms import Ball, Norm, l2, named
from lipjax.types import Estimate, KeyArray, Point, Scalar, VectorFn
from lipjax.values import count, setting

_TURNS = 2
"""Power steps that turn a random direction towards the steepest one at a point; a known one is turned once."""

_OUTWARDS = 1.5
"""Radius of the ball that random points are drawn from before those outside are moved to the boundary: what only just
reaches into the ball is found there."""

_SCALES = (1.0, 1e-3)
"""First and last distance of steps, and largest and smallest of points near a good one, as multiples of the radius."""

_ACROSS = (0.1, 1e-4)
"""Largest and smallest distance from where two linear pieces meet, as multiples of the radius."""

_NUM_KEPT = 24
"""Points of different steepness that a round starts from."""

_SAME = 1e-3
"""Relative difference of steepness below which two points count as one."""

_CORNER_STEPS = 2
"""Steps of conjugate gradients: exact for pieces that differ by that many units."""

_AT_ONCE = 32
"""Random points whose Jacobians are applied at once, so that memory does not grow with their number."""

_HALVINGS = 20
"""How often the distance of the witnessing pair is halved, from the diameter of the ball."""

_LENGTHS = (0.5, 0.02)
"""Half lengths of witnessing pairs, as multiples of how far they are moved inwards; the short one is for directions
of few pixels, which leave the box sooner."""


class pairwise_slope(LocalEstimator):
    """Lipschitz constant on the ball, `sup ||f(u) - f(v)|| / ||u - v||` over two points u and v of the ball.

    It equals the largest operator norm of the Jacobian on the ball, so the search is for a point z and a direction d.
    First z climbs `||f(z + t d) - f(z - t d)|| / 2t` for ever smaller t (which sees kinks from afar, where the
    Jacobian is constant) while d follows the power method. Then the steepest points found, of different steepness each,
    are bred: every round tries points near them, and points beside where the linear pieces of two of them meet, since
    the pieces of a ReLU network that are too small to be hit by chance have their corners there.

    The witness is the pair `[2, *dims]` of points of the ball and the box; the value is their quotient as far as
    rounding leaves it sure, a lower bound of the constant. The defaults make about 11,000 products with Jacobians and
    reach 99 % of the constant in 99 of 100 cases on ReLU networks of two inputs; tiny pieces are what they miss. For
    images a budget of `num_samples=16, num_steps=20, num_restarts=2` costs a fifteenth.

    Attributes:
        ball: The ball, and the norm of input differences.
        norm_out: Norm of output differences.
        num_samples: Random points that an ascent starts from the steepest of; points of each kind per round.
        num_steps: Gradient steps per ascent, and rounds.
        num_restarts: Ascents, one after another.

    Examples:
        >>> estimator = pairwise_slope(l2.ball(0.5, box=None))
        >>> x = jnp.array([3.0, 4.0])
        >>> estimator(jax.random.key(0), lambda x: x @ x, x).value.round(1)  # 2 (||x|| + r)
        Array(11., dtype=float32)
    """

    constant = "pairwise"

    _: dataclasses.KW_ONLY
    norm_out: Norm = setting(l2, words=named)
    num_samples: int = count(128)
    num_steps: int = count(40)
    num_restarts: int = count(4)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        f, x = self.prepared(f, x)
        search = _Search(f, x, self.ball, self.norm_out)
        climb_key, breed_key = jax.random.split(key)
        scales = jnp.geomspace(*_SCALES, self.num_steps, dtype=x.dtype)
        kinds = (search.nearby, search.across)

        def run(restart_key: KeyArray) -> _Tangent:
            tried = in_chunks(search.at_random, _AT_ONCE)(jax.random.split(restart_key, self.num_samples))
            start = largest(tried)
            climbed = loops.scan(search.climb, (start, start), scales)[0][1]
            return _joined(tried, jax.tree.map(lambda leaf: leaf[None], climbed))

        def breed(kept: _Tangent, round_key: KeyArray) -> tuple[_Tangent, None]:
            keys = jax.random.split(round_key, (2, self.num_samples))
            starts = [in_chunks(partial(kind, kept), _AT_ONCE)(each) for kind, each in zip(kinds, keys, strict=True)]
            born = in_chunks(search.tangent, _AT_ONCE)(*_joined(*starts))
            return _steepest(_joined(kept, born), len(kept.value)), None

        found = loops.map(run, jax.random.split(climb_key, self.num_restarts))
        kept = _steepest(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found), _NUM_KEPT)
        kept, _ = loops.scan(breed, kept, jax.random.split(breed_key, self.num_steps))
        return search.attained(largest(kept))


Tree = TypeVar("Tree")


class _Tangent(NamedTuple):
    """A point, a direction of length 1 and how steep the function is there in that direction."""

    value: Scalar
    point: Point
    direction: Point


@dataclasses.dataclass(frozen=True)
class _Search:
    """One function around one point: how points and directions are tried."""

    f: VectorFn
    x: Point
    ball: Ball
    norm_out: Norm

    def within(self, point: Point) -> Point:
        return self.ball.project(point, self.x)

    def noise(self, key: KeyArray) -> Point:
        return self.ball.norm.sample(key, self.x.shape).astype(self.x.dtype)

    def tangent(self, point: Point, direction: Point, *, num_turns: int = 1) -> _Tangent:
        """The direction after `num_turns` steps of the power method at a point."""
        _, push = jax.linearize(self.f, point)

        def steepness(direction: Point) -> Scalar:
            return self.norm_out.value(push(direction))

        for _ in range(num_turns):
            direction = self.ball.norm.steepest(jax.grad(steepness)(direction))
        return _Tangent(safe_ratio(steepness(direction), self.ball.norm.value(direction)), point, direction)

    def at_random(self, key: KeyArray) -> _Tangent:
        point_key, turn_key = jax.random.split(key)
        point = self.within(self.x + _OUTWARDS * self.ball.radius * self.noise(point_key))
        return self.tangent(point, self.ball.norm.steepest(self.noise(turn_key)), num_turns=_TURNS)

    def climb(self, carry: tuple[_Tangent, _Tangent], size: Scalar) -> tuple[tuple[_Tangent, _Tangent], None]:
        now, best = carry
        distance, steepest = self.ball.radius * size, self.ball.norm.steepest
        rises = jax.grad(self.apart, argnums=(0, 1))(now.point, now.direction, distance)
        now = self.tangent(self.within(now.point + distance * steepest(rises[0])), steepest(rises[1]))
        return (now, larger(now, best)), None

    def apart(self, point: Point, direction: Point, distance: ArrayLike) -> Scalar:
        return self.norm_out.value(self.f(point + distance * direction) - self.f(point - distance * direction))

    def nearby(self, kept: _Tangent, key: KeyArray) -> tuple[Point, Point]:
        member_key, scale_key, noise_key = jax.random.split(key, 3)
        one = _member(member_key, kept)
        step = _log_uniform(scale_key, _SCALES) * self.noise(noise_key)
        return self.within(one.point + self.ball.radius * step), one.direction

    def across(self, kept: _Tangent, key: KeyArray) -> tuple[Point, Point]:
        one_key, other_key, scale_key, side_key = jax.random.split(key, 4)
        one, other = _member(one_key, kept), _member(other_key, kept)
        corner = _corner(self.f, one.point, other.point)
        # The corner's other two pieces are seen from it between those that met, and opposite.
        sides = l2.steepest(l2.steepest(one.point - corner) + l2.steepest(other.point - corner))
        step = jax.random.rademacher(side_key, (), self.x.dtype) * _log_uniform(scale_key, _ACROSS) * sides
        is_inside = self.ball.norm.value(corner - self.x) <= self.ball.radius  # false for what is not a number
        return jnp.where(is_inside, self.within(corner + self.ball.radius * step), one.point), one.direction

    def attained(self, tangent: _Tangent) -> Estimate:
        """The steepest pair of points along the tangent, moved inwards so far that both are in the ball and the box.

        Of pairs about as steep the one further apart is chosen: what rounding may have added to its quotient is least.
        Where the quotient confirms it within rounding, the value is the least derivative at the pair and in its middle,
        which has no such error; elsewhere it is the quotient less rounding.
        """
        f, radius, length_of = self.f, self.ball.radius, self.norm_out.value
        # At most half a radius from x, and off the box's faces.
        inner = 0.5 * (self.within(self.x - radius) + self.within(self.x + radius))
        error = 2.0 * rounding_error(f, tangent.point, self.norm_out)  # neither end is exact, as an anchor would be

        def measured(part: Scalar, length: Scalar) -> tuple[Scalar, Estimate]:
            middle = tangent.point + part * (inner - tangent.point)
            reach = part * length * radius * tangent.direction
            pair = jnp.stack([self.within(middle + reach), self.within(middle - reach)])
            step = pair[0] - pair[1]
            rise = length_of(f(pair[0]) - f(pair[1]))
            points = jnp.stack([*pair, pair.mean(0)])
            rises = jax.vmap(lambda point: length_of(jax.jvp(f, (point,), (step,))[1]))(points)
            sure = jnp.clip(rise - error, 0.0, jnp.max(rises))
            likely = jnp.clip(jnp.min(rises), sure, rise + error)
            sure, likely = (safe_ratio(value, self.ball.norm.value(step)) for value in (sure, likely))
            return sure, Estimate(likely, pair)

        parts = 0.5 ** jnp.arange(_HALVINGS, dtype=self.x.dtype)
        grid = jnp.meshgrid(parts, jnp.array(_LENGTHS, self.x.dtype))
        sure, found = in_chunks(lambda pair: measured(*pair), _AT_ONCE)(jnp.stack(grid, -1).reshape(-1, 2))
        return jax.tree.map(lambda leaf: leaf[jnp.argmax(sure)], found)


def _joined(*found: Tree) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)


def _steepest(found: _Tangent, count: int) -> _Tangent:
    """The steepest ones; of those about as steep, which may be on one linear piece, one before all the others."""
    descending = jax.tree.map(lambda leaf: leaf[jnp.argsort(-found.value)], found)
    repeats = jnp.diff(descending.value, prepend=jnp.inf) >= -_SAME * descending.value
    first = jnp.argsort(repeats, stable=True)[:count]
    return jax.tree.map(lambda leaf: leaf[first], descending)


def _member(key: KeyArray, kept: _Tangent) -> _Tangent:
    return jax.tree.map(lambda leaf: leaf[jax.random.randint(key, (), 0, len(kept.value))], kept)


def _log_uniform(key: KeyArray, limits: tuple[float, float]) -> Scalar:
    largest, smallest = limits
    return largest * (smallest / largest) ** jax.random.uniform(key)


def _corner(f: VectorFn, one: Point, other: Point) -> Point:
    """The point nearest to `one` where the linear pieces at both agree, by least squares; NaN where they are the same.

    For pieces that differ by two units of a ReLU network, that is where the kinks of the two cross.
    """
    (value, push), (value_other, push_other) = jax.linearize(f, one), jax.linearize(f, other)

    def difference(step: Point) -> Array:
        return push(step) - push_other(step)

    pull = jax.linear_transpose(difference, one)
    gap = value_other + push_other(one - other) - value
    weights, _ = cg(lambda weights: difference(*pull(weights)), gap, maxiter=_CORNER_STEPS)
    return one + pull(weights)[0]
