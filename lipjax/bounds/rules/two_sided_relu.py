"""`concatenate(relu(x), relu(-x))` expands nothing; its parts apart, by sqrt(2)."""

import math

import jax.numpy as jnp

from lipjax.bounds.activations import ACTIVATIONS
from lipjax.bounds.carried import Around, Derivative, Entries, Expanded, Form, Gain, Gate, Region, Relaxed
from lipjax.bounds.program import Builder, Step, Wire, is_constant
from lipjax.bounds.rounding import eps, middle_and_half, of_sizes, spectral
from lipjax.bounds.rules.activation import enclosed, slopes_on
from lipjax.bounds.rules.rule import LocalRule
from lipjax.norms import Norm


def _recognised(builder: Builder, step: Step) -> Wire | None:
    relus = [relu for operand in step.operands if (relu := builder.producer(operand, "relu"))]
    if len(step.operands) != 2 or len(relus) != 2:
        return None
    positive, negative = (relu.operands[0] for relu in relus)
    minus = builder.producer(negative, "mul")
    if minus is None or positive not in minus.wires or not is_constant(minus.constants[0], -1.0):
        return None
    axis = step.params["dimension"]
    return builder.add(
        "two_sided_relu",
        (positive,),
        lambda x: jnp.concatenate([jnp.maximum(x, 0.0), jnp.maximum(-x, 0.0)], axis),
        dimension=axis,
    )


class TwoSidedRelu(LocalRule):
    """Positive and negative parts side by side."""

    idioms = (("concatenate", _recognised),)
    name = "two-sided relu"

    ops = ("two_sided_relu",)

    def constant(self, step: Step, norm: Norm) -> Gain:
        return Gain(1.0, "exact", "one side at a time")

    def region(self, step: Step, regions: list[Region]) -> Region:
        (region,), axis = regions, step.params["dimension"]
        lower = jnp.concatenate([jnp.maximum(region.lower, 0.0), jnp.maximum(-region.upper, 0.0)], axis)
        upper = jnp.concatenate([jnp.maximum(region.upper, 0.0), jnp.maximum(-region.lower, 0.0)], axis)
        return Region(step(region.center), lower, upper, region.spread, region.norm)

    def derivative(self, around: Around, derivative: Derivative) -> list[Derivative]:
        # With s the slope of relu(x), that of relu(-x) is s - 1: the two halves of the derivative move together.
        (region,), axis = around.operands, around.step.params["dimension"] + 1
        (center, center_), (lower, lower_), (upper, upper_) = (jnp.split(rows, 2, axis) for rows in derivative[:3])
        slope, low, high = (bound > 0.0 for bound in region[:3])
        moved = high & ~low
        change = jnp.minimum(spectral((center + center_) * moved), math.sqrt(2.0) * derivative.norm * jnp.any(moved))
        return [
            Derivative(
                jnp.where(slope, center, -center_),
                jnp.minimum(jnp.where(low, lower, -upper_), jnp.where(high, lower, -upper_)),
                jnp.maximum(jnp.where(low, upper, -lower_), jnp.where(high, upper, -lower_)),
                derivative.change + change * (1 + 4 * eps()),
                derivative.norm,
            )
        ]

    def relaxation(self, around: Around, form: Entries) -> Relaxed:
        # relu(-x) = relu(x) - x
        positive, negative = jnp.split(form, 2, around.step.params["dimension"])
        part, shift = enclosed(ACTIVATIONS["relu"](), positive + negative, around.operands[0])
        sizes, magnitude = jnp.abs(positive) + 2 * jnp.abs(negative), around.operands[0].magnitude
        return Relaxed([part - negative], shift + of_sizes(sizes, 4 * eps() * magnitude))

    def expansion(self, around: Around, form: Form) -> Expanded:
        # The slope of relu(-x) is that of relu(x) minus 1: both halves change together.
        (region,), axis = around.operands, around.step.params["dimension"] + 1
        positive, negative = jnp.split(form.rows, 2, axis)
        slope, change = middle_and_half(*slopes_on(region, ACTIVATIONS["relu"]()))
        together = Form(positive + negative, math.sqrt(2.0) * form.norm * (1 + 2 * eps()))
        before = Form(together.rows * slope - negative, form.norm)
        return Expanded([before], [Gate(together, change, region.slopes, region.norm)])
