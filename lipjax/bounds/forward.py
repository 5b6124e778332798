"""The one pass forwards: where the values of a network lie on a ball, step by step.

Intervals, and an l2 distance to the values at its center; rounding is part of the result.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from lipjax.bounds.carried import Entries, Region
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import eps
from lipjax.bounds.rules import local_rule_of
from lipjax.norms import Ball, l2

Refine: TypeAlias = Callable[[list[Region], Wire], Region]


def input_region(x: Entries, ball: Ball) -> Region:
    """The ball around x, inside the box of legal values."""
    lower, upper = ball.clip(x - ball.radius), ball.clip(x + ball.radius)
    noise = 2 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
    spread = jnp.asarray(ball.radius * ball.norm.conversion(l2, x.size) * (1 + 4 * eps()))
    return Region(x, lower - noise, upper + noise, spread, jnp.ones(())).within(math.inf)


def forward(program: Program, start: Region, refine: Refine | None = None) -> list[Region]:
    """Regions of all wires; `refine` may tighten what a nonlinear step is about to read."""
    regions = [start]
    for step in program.steps:
        rule = local_rule_of(step)
        if refine is not None and not rule.is_linear:
            for wire in step.wires:
                regions[wire.index] = refine(regions, wire)
        regions.append(rule.region(step, [regions[wire.index] for wire in step.wires]))
    return regions
