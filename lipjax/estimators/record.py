"""What a curve is: constants at many points and radii, what they are of, and their statistics over points."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lipjax import checks, loops
from lipjax.norms import Norm
from lipjax.types import KeyArray


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    """Local Lipschitz constants of one function at many points and radii.

    Attributes:
        radii: `[radii]`, or `[points, radii]` where every point has its own, in input units (pixels in [0, 1]).
        values: `[points, radii]`, lower bounds, non-decreasing in the radius.
        steepest: `[radii]`, index of the point with the largest value at each radius.
        witnesses: Where values are attained: of every value `[points, radii, ...]` if that was asked for, else of the
            steepest point at each radius `[radii, ...]`.
        norm_in: Norm of radii and of input differences.
        norm_out: Norm of output differences.
        constant: Which constant this is: slope, pairwise or clever.

    Examples:
        >>> from lipjax.norms import l2, linf
        >>> radii, values = jnp.array([0.5, 1.0]), jnp.array([[1.0, 2.0], [3.0, 5.0]])
        >>> curve = Curve(radii, values, jnp.array([1, 1]), jnp.zeros((2, 3)), linf, l2, "slope")
        >>> curve.maximum, curve.mean
        (Array([3., 5.], dtype=float32), Array([2. , 3.5], dtype=float32))
        >>> curve.quantiles([0.0, 0.5])
        Array([[1. , 2. ],
               [2. , 3.5]], dtype=float32)
    """

    radii: Float[Array, "*points radii"]
    values: Float[Array, "points radii"]
    steepest: Int[Array, " radii"]
    witnesses: Float[Array, "..."]
    norm_in: Norm
    norm_out: Norm
    constant: str = dataclasses.field(metadata={"static": True})

    @property
    def maximum(self) -> Float[Array, " radii"]:
        """The largest value over points: alpha_lim(r) of the talk."""
        return jnp.max(self.values, axis=0)

    @property
    def mean(self) -> Float[Array, " radii"]:
        """The mean value over points."""
        return jnp.mean(self.values, axis=0)

    def quantiles(self, fractions: Sequence[float]) -> Float[Array, "fractions radii"]:
        """Quantiles over points, `fractions` in [0, 1]."""
        checks.fraction(fractions=jnp.asarray(fractions))
        return jnp.quantile(self.values, jnp.asarray(fractions), axis=0)

    def interval(
        self,
        key: KeyArray,
        statistic: Callable[[Float[Array, "points radii"]], Float[Array, " radii"]],
        *,
        level: float = 0.95,
        num_resamples: int = 1000,
    ) -> tuple[Float[Array, " radii"], Float[Array, " radii"]]:
        """Percentile bootstrap interval of a statistic over points: how much it depends on which points were drawn.

        For a maximum its upper end is the observed maximum: points that were not measured can be steeper.

        Args:
            key: A typed key.
            statistic: Values `[points, radii]` to a statistic `[radii]`, such as `partial(jnp.mean, axis=0)`.
            level: Coverage, in (0, 1).
            num_resamples: Number of resamples of the points.

        Returns:
            The lower and the upper end, per radius.
        """
        checks.fraction(level=level)
        checks.at_least(1, num_resamples=num_resamples)
        count = self.values.shape[0]

        def resampled(key: KeyArray) -> Float[Array, " radii"]:
            return statistic(self.values[jax.random.randint(key, (count,), 0, count)])

        found = loops.map(resampled, jax.random.split(key, num_resamples))
        low, high = jnp.quantile(found, jnp.array([0.5 - level / 2, 0.5 + level / 2]), axis=0)
        return low, high
