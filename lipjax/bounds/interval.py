"""Where the values of a network lie on a ball, step by step: intervals, and an l2 distance to the values at its center.

Rounding is part of the result. A computed sum of n products is off by at most about `n u` times the sum of their
absolute values, u half a unit in the last place, in whatever order it was summed; every radius is widened by that.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.bounds.activations import ACTIVATIONS, Activation, eps
from lipjax.bounds.affine import gain, is_affine, linear, moves_entries, terms
from lipjax.bounds.program import Program, Step, Wire
from lipjax.norms import Ball, l1, l2, linf
from lipjax.types import Scalar

Entries: TypeAlias = Float[Array, "..."]


class Region(NamedTuple):
    """What is known of a wire while the input moves in the ball.

    Attributes:
        center: The value at the center of the ball.
        lower: Lower bounds, entry by entry.
        upper: Upper bounds.
        spread: Bound of the l2 distance to `center`.
        norm: Bound of the l2 operator norm of the derivative with respect to the input.
        slopes: Box of the dual norms of the entries' gradients with respect to the input; inf where not computed.
    """

    center: Entries
    lower: Entries
    upper: Entries
    spread: Scalar
    norm: Scalar
    slopes: Any = math.inf

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


Refine: TypeAlias = Callable[[Program, list[Region], Wire], Region]


class Sizes(NamedTuple):
    """Numbers that an affine step is bounded with.

    Attributes:
        norm: Bound of its l2 operator norm, for each wire alone.
        absolute: Bound of the l2 operator norm of |L|.
        row: The largest sum of absolute weights of an entry.
        rounding: Relative rounding error of an entry, of the result or of the transpose's.
    """

    norm: Any
    absolute: Any
    row: Any
    rounding: float


@jax.jit
def length(x: Any) -> Any:
    """The l2 norm of all entries, rounded up."""
    least = float(jnp.finfo(x.dtype).tiny) ** 0.5 * math.sqrt(x.size)  # what squares that underflow may hide
    return jnp.sqrt(jnp.sum(jnp.square(x))) * (1 + (x.size + 8) * eps()) + least


def sizes(step: Step) -> Sizes:
    """Sizes of an affine step, computed when they are first asked for."""
    if Sizes not in step.known:
        norm, column, row = (gain(step, norm).value for norm in (l2, l1, linf))
        step.known[Sizes] = Sizes(norm, (column * row) ** 0.5, row, 0.51 * (terms(step) + 8) * eps())
    return step.known[Sizes]


def is_activation(step: Step) -> bool:
    """Whether the step is a known function of one entry."""
    return step.op in ACTIVATIONS and len(step.wires) == 1


def activation(step: Step) -> Activation:
    """The function of one entry that the step is."""
    return ACTIVATIONS[step.op](*step.constants)


def _moved(step: Step, regions: list[Region]) -> Region:
    center, lower, upper, spreads, gains, _ = zip(*regions, strict=True)
    spread, norm = (scalars[0] if len(scalars) == 1 else length(jnp.stack(scalars)) for scalars in (spreads, gains))
    region = Region(step(*center), step(*lower), step(*upper), spread, norm)
    if step.op not in ("add", "scatter-add"):
        return region
    noise = 2 * eps() * region.magnitude
    return region._replace(lower=region.lower - noise, upper=region.upper + noise, spread=spread + length(noise))


def _affine(step: Step, regions: list[Region]) -> Region:
    size = sizes(step)
    middles = [(region.lower + region.upper) / 2 for region in regions]
    radii = [region.upper - middle for region, middle in zip(regions, middles, strict=True)]
    widened = [r + size.rounding * (jnp.abs(m) + r) for m, r in zip(middles, radii, strict=True)]
    center, middle = step(*[region.center for region in regions]), step(*middles)
    radius = linear(step, jnp.abs)(*widened) * (1 + 4 * eps()) + 4 * eps() * jnp.abs(middle)
    spread, reach = _affine_spread(step, size, regions, center)
    norm = size.norm * sum(region.norm for region in regions) * (1 + 4 * eps())
    return Region(center, middle - radius, middle + radius, spread, norm).within(reach)


def _affine_spread(step: Step, size: Sizes, regions: list[Region], center: Entries) -> tuple[Scalar, Entries]:
    """Box of the l2 distance to the center's value: of all entries together, and of each."""
    magnitudes = [region.magnitude for region in regions]
    noise = size.rounding * size.absolute * sum(map(length, magnitudes)) + 4 * eps() * length(center)
    spread = size.norm * sum(region.spread for region in regions) * (1 + 4 * eps()) + noise
    if len(regions) > 1:
        return spread, spread
    rows = jnp.sqrt(linear(step, jnp.square)(jnp.ones_like(regions[0].center))) * (1 + size.rounding)
    entry_noise = size.rounding * size.row * jnp.max(magnitudes[0]) + 4 * eps() * jnp.abs(center)
    return spread, rows * regions[0].spread + entry_noise


def _activated(step: Step, regions: list[Region]) -> Region:
    (region,), function = regions, activation(step)
    lower, upper = function.image(region.lower, region.upper)
    noise = 8 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
    steepest = jnp.max(jnp.abs(jnp.stack(function.slopes(region.lower, region.upper))), initial=0.0)
    spread = steepest * region.spread + length(noise)
    return Region(step(region.center), lower - noise, upper + noise, spread, steepest * region.norm).within(spread)


def _two_sided(step: Step, regions: list[Region]) -> Region:
    (region,), axis = regions, step.params["dimension"]
    lower = jnp.concatenate([jnp.maximum(region.lower, 0.0), jnp.maximum(-region.upper, 0.0)], axis)
    upper = jnp.concatenate([jnp.maximum(region.upper, 0.0), jnp.maximum(-region.lower, 0.0)], axis)
    return Region(step(region.center), lower, upper, region.spread, region.norm)


def _norm_pool(step: Step, regions: list[Region]) -> Region:
    (region,), factor = regions, step.params["gains"][2.0]
    nearest = jnp.maximum(jnp.maximum(region.lower, -region.upper), 0.0)
    lower, upper = step(nearest), step(region.magnitude)
    noise = step.params["rounding"] * upper
    spread = factor * region.spread + 2 * length(noise)
    return Region(step(region.center), lower - noise, upper + noise, spread, factor * region.norm).within(spread)


def _product(step: Step, regions: list[Region]) -> Region:
    one, other = regions
    ends = jnp.stack([x * y for x in (one.lower, one.upper) for y in (other.lower, other.upper)])
    noise = 4 * eps() * jnp.max(jnp.abs(ends), 0)
    largest, largest_other = jnp.max(one.magnitude), jnp.max(other.magnitude)
    spread = largest_other * one.spread + largest * other.spread + length(noise)
    norm = (largest_other * one.norm + largest * other.norm) * (1 + 4 * eps())
    region = Region(step(one.center, other.center), ends.min(0) - noise, ends.max(0) + noise, spread, norm)
    return region.within(spread)


_RULES: dict[str, Callable[[Step, list[Region]], Region]] = {
    "activation": _activated,
    "affine": _affine,
    "move": _moved,
    "mul": _product,
    "norm_pool": _norm_pool,
    "two_sided_relu": _two_sided,
}


def kind(step: Step) -> str:
    """Which rule a step falls under: "move", "affine", "activation", or its own name."""
    if is_affine(step):
        return "move" if moves_entries(step) else "affine"
    return "activation" if is_activation(step) else step.op


def has_rule(step: Step) -> bool:
    """Whether regions can be carried through this step."""
    return kind(step) in _RULES


def input_region(x: Entries, ball: Ball) -> Region:
    """The ball around x, inside the box of legal values."""
    lower, upper = ball.clip(x - ball.radius), ball.clip(x + ball.radius)
    noise = 2 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
    spread = jnp.asarray(ball.radius * ball.norm.conversion(l2, x.size) * (1 + 4 * eps()))
    return Region(x, lower - noise, upper + noise, spread, jnp.ones(())).within(math.inf)


def keep(program: Program, regions: list[Region], wire: Wire) -> Region:
    """The region of a wire as it is."""
    return regions[wire.index]


def propagate(program: Program, start: Region, refine: Refine = keep) -> list[Region]:
    """Regions of all wires; `refine` may tighten what a nonlinear step is about to read."""
    regions = [start]
    for step in program.steps:
        rule = kind(step)
        for wire in step.wires if rule not in ("affine", "move") else ():
            regions[wire.index] = refine(program, regions, wire)
        regions.append(_RULES[rule](step, [regions[wire.index] for wire in step.wires]))
    return regions
