"""Products of two wires, entry by entry."""

import jax.numpy as jnp

from lipjax.bounds.carried import Around, Derivative, Expanded, Form, Gate, Region
from lipjax.bounds.program import Step
from lipjax.bounds.rounding import eps, hull, length, middle_and_half
from lipjax.bounds.rules.activation import scaled_derivative, scaled_form
from lipjax.bounds.rules.rule import LocalRule


class Product(LocalRule):
    """A product; on the whole space it has no constant."""

    name = "scale"

    def covers(self, step: Step) -> bool:
        return step.op == "mul" and len(step.wires) == 2

    def region(self, step: Step, regions: list[Region]) -> Region:
        one, other = regions
        lower, upper = hull(one.lower, one.upper, other.lower, other.upper)
        noise = 2 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
        largest, largest_other = jnp.max(one.magnitude), jnp.max(other.magnitude)
        spread = largest_other * one.spread + largest * other.spread + length(noise)
        norm = (largest_other * one.norm + largest * other.norm) * (1 + 4 * eps())
        region = Region(step(one.center, other.center), lower - noise, upper + noise, spread, norm)
        return region.within(spread)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        return [
            scaled_derivative(derivative, other.center, other.lower, other.upper) for other in reversed(around.operands)
        ]

    def expansion(self, around: Around, form: Form) -> Expanded:
        one, other = around.operands
        slope, change = middle_and_half(one.lower, one.upper)
        slope_other, change_other = middle_and_half(other.lower, other.upper)
        gates = Gate(form, change_other, one.slopes, one.norm), Gate(form, change, other.slopes, other.norm)
        return Expanded([scaled_form(form, slope_other), scaled_form(form, slope)], gates)
