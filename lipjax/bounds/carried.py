"""What is carried through a program: regions forwards, and derivatives, linear forms and gates backwards."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.program import Step
from lipjax.bounds.rounding import length
from lipjax.types import Scalar

Entries: TypeAlias = Float[Array, "..."]
Rows: TypeAlias = Float[Array, "outputs ..."]


class Region(NamedTuple):
    """What is known of a wire while the input moves in the ball."""

    center: Entries  # the value at the center of the ball
    lower: Entries  # lower bounds, entry by entry
    upper: Entries  # upper bounds
    spread: Scalar  # bound of the l2 distance to `center`
    norm: Scalar  # bound of the l2 operator norm of the derivative with respect to the input
    slopes: Any = math.inf  # bounds of the dual norms of the entries' gradients; inf where not computed
    drift: Any = None  # how far `center` can be from the exact value there; None: slopes are of all pairs of points

    @property
    def farthest(self) -> Entries:
        """How far each entry can be from its value at the center."""
        return jnp.maximum(self.upper - self.center, self.center - self.lower)

    @property
    def magnitude(self) -> Entries:
        """Largest absolute value of each entry."""
        return jnp.maximum(jnp.abs(self.lower), jnp.abs(self.upper))

    def within(self, reach: Entries | Scalar | float) -> "Region":
        """The region cut with a bound of how far entries move, each of the bounds made tighter by the other."""
        lower = jnp.minimum(jnp.fmax(self.lower, self.center - reach), self.center)
        upper = jnp.maximum(jnp.fmin(self.upper, self.center + reach), self.center)
        cut = self._replace(lower=lower, upper=upper)
        return cut._replace(spread=jnp.fmin(self.spread, length(cut.farthest)))


class Around(NamedTuple):
    """A step with the regions of what it reads and of its result."""

    step: Step
    operands: list[Region]
    result: Region


class Derivative(NamedTuple):
    """What is known of the outputs' derivative with respect to one wire, while the input moves in the ball."""

    center: Rows  # the derivative at the center of the ball, one row per output
    lower: Rows  # lower bounds of its entries
    upper: Rows  # upper bounds
    change: Scalar  # bound of the l2 operator norm of the derivative minus `center`
    norm: Scalar  # bound of the l2 operator norm of the derivative


class Interval(NamedTuple):
    """Where the entries of something are."""

    lower: Any
    upper: Any

    @property
    def magnitude(self) -> Any:
        """Largest absolute value of each entry."""
        return jnp.maximum(jnp.abs(self.lower), jnp.abs(self.upper))


class Relaxed(NamedTuple):
    """A linear form of a result that is bounded from above by linear forms of the operands."""

    forms: list[Entries]  # their coefficients
    shift: Scalar  # a number to add


class Form(NamedTuple):
    """Derivatives of some entries of a later wire with respect to a wire."""

    rows: Rows  # one per entry
    norm: Scalar  # bound of the l2 operator norm of the rows of all entries of the later wire, by the steps in between


class Gate(NamedTuple):
    """A nonlinear step seen as slopes that may change, `rows * change` of the operand's derivative."""

    form: Form  # what multiplies the slopes
    change: Entries  # how far each slope can be from its middle
    slopes: Entries  # bounds of the dual norms of the gradients that a changed slope lets through
    norm: Scalar  # bound of the l2 operator norm of all of them together


class Expanded(NamedTuple):
    """A form of a result as forms of the operands with known slopes."""

    forms: list[Form]  # one per operand
    gates: Sequence[Gate] = ()  # what the slopes may change
    rounding: Any = 0.0  # how far, in l2, rounding can have moved each row


class Gain(NamedTuple):
    """The Lipschitz constant of a step, of each wire's part alone where there are several."""

    value: Any  # the constant, or a bound of it
    side: str  # "exact", "upper" or "unknown"
    how: str  # how it was obtained
