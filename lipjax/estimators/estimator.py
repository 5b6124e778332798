"""What the estimators of a ball share: the ball, many radii, and the choice of the largest value."""

from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax import checks, loops
from lipjax.estimators.precision import in_full
from lipjax.norms import Ball, Norm, l2
from lipjax.types import Estimate, Estimator, KeyArray, Point, Scalar, VectorFn
from lipjax.values import setting

Found = TypeVar("Found", bound=tuple)


def larger(candidate: Found, best: Found) -> Found:
    """The candidate where its field `value` is larger, otherwise the best so far."""
    wins = candidate.value > best.value  # type: ignore[attr-defined]
    return jax.tree.map(lambda new, old: jnp.where(wins, new, old), candidate, best)


def defined(f: VectorFn, x: Point, found: Estimate) -> Estimate:
    """What was found, with the value NaN where f is not finite at x: searches pass over what is not a number."""
    return Estimate(jnp.where(jnp.all(jnp.isfinite(f(x))), found.value, jnp.nan), found.witness)


def largest(found: Found) -> Found:
    """What has the largest `value`, of what was found, stacked along a leading axis."""
    best = jnp.argmax(found.value)  # type: ignore[attr-defined]
    return jax.tree.map(lambda leaf: leaf[best], found)


class LocalEstimator(Estimator):
    """An estimator that searches the ball around a point; `curve` takes any, also those defined elsewhere.

    A subclass has `__call__(key, f, x)`, in terms of `self.ball`, and says `norm_out`, a field or an attribute.

    Attributes:
        ball: Where it searches, and in which norm input differences are measured; of a radius above 0.
        norm_out: Norm of output differences.
        constant: Which constant its values bound from below: slope, pairwise or clever.

    Examples:
        >>> class along_first_pixel(LocalEstimator):
        ...     norm_out = l2
        ...     def __call__(self, key, f, x):
        ...         witness = self.ball.clip(x.at[0].add(self.ball.radius))
        ...         rise = self.norm_out.value(f(witness) - f(x))
        ...         return Estimate(rise / self.ball.norm.value(witness - x), witness)
        >>> along_first_pixel(l2.ball(0.5))(jax.random.key(0), lambda x: 3.0 * x, jnp.zeros(2)).value
        Array(3., dtype=float32)
    """

    ball: Ball = setting(l2.ball(1.0))
    constant: ClassVar[str] = "slope"

    @property
    def norm_out(self) -> Norm:
        """Norm of output differences."""
        raise NotImplementedError

    def check(self) -> None:
        checks.positive(radius=self.ball.radius)

    def prepared(self, f: VectorFn, x: Point) -> tuple[VectorFn, Point]:
        """A function and a point as searches take them: in float32 at least, see `precision.in_full`.

        Raises:
            ValueError: If the point is outside the box.
        """
        checks.numbers(x=x)
        x = x if isinstance(x, jax.Array | np.ndarray) else jnp.asarray(np.asarray(x, np.float32))
        if not isinstance(x, jax.core.Tracer):
            known = np.asarray(x)
            checks.inside(self.ball.box, x=known[~np.isnan(known)])
        return in_full(f, x)

    def along(self, key: KeyArray, f: VectorFn, x: Point, radii: Float[Array, " radii"]) -> Estimate:
        """What it finds in balls of many radii, `[radii]`: at each radius the best of this and all smaller balls.

        Each ball has a search of its own, which depends on the key and the radius only. A subclass that searches all
        balls together has a method of its own in place of this one.
        """

        def at(radius: Scalar) -> Estimate:
            # The radius' bits make its own key, so that searches are independent, whatever else is asked.
            bits = jax.lax.bitcast_convert_type(radius.astype(jnp.float32), jnp.uint32)
            found = self.replace(ball=self.ball.replace(radius=radius))(jax.random.fold_in(key, bits), f, x)
            return Estimate(found.value, found.witness)

        found = loops.map(at, radii)
        reachable = radii[None, :] <= radii[:, None]
        best = jnp.argmax(jnp.where(reachable, found.value, -jnp.inf), axis=1)
        return jax.tree.map(lambda leaf: leaf[best], found)
