"""The one pass forwards: where the values of a network lie on a ball, step by step.

Intervals, and an l2 distance to the values at its center; rounding is part of the result.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from lipjax.bounds.carried import Entries, Region
from lipjax.bounds.program import Program, Wire
from lipjax.bounds.rounding import eps
from lipjax.bounds.rules import local_rule_of
from lipjax.norms import Ball, l2

Refine: TypeAlias = Callable[[Program, list[Region], Wire], Region]


def input_region(x: Entries, ball: Ball) -> Region:
    """The ball around x, inside the box of legal values."""
    lower, upper = ball.clip(x - ball.radius), ball.clip(x + ball.radius)
    noise = 2 * eps() * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
    spread = jnp.asarray(ball.radius * ball.norm.conversion(l2, x.size) * (1 + 4 * eps()))
    return Region(x, lower - noise, upper + noise, spread, jnp.ones(())).within(math.inf)


def keep(program: Program, regions: list[Region], wire: Wire) -> Region:
    """The region of a wire as it is."""
    return regions[wire.index]


def forward(program: Program, start: Region, refine: Refine = keep) -> list[Region]:
    """Regions of all wires; `refine` may tighten what a nonlinear step is about to read."""
    regions = [start]
    for step in program.steps:
        rule = local_rule_of(step)
        for wire in () if rule.is_linear else step.wires:
            regions[wire.index] = refine(program, regions, wire)
        regions.append(rule.region(step, [regions[wire.index] for wire in step.wires]))
    return regions


def forward_with_center(
    program: Program, x: Entries, ball: Ball, refine: Callable[[list[Region], Wire, Region], Region]
) -> list[Region]:
    """The same, where `refine` also gets the wire's region at the center, where only rounding moves it.

    Both are carried side by side, since a program with one pass is compiled in half the time of one with two.
    """
    starts = input_region(x, ball.replace(radius=0.0)), input_region(x, ball)
    pairs = [jax.tree.map(lambda *fields: jnp.stack(fields), *starts)]
    regions = [starts[1]]
    for step in program.steps:
        rule = local_rule_of(step)
        for wire in () if rule.is_linear else step.wires:
            center = jax.tree.map(lambda field: field[0], pairs[wire.index])
            region = regions[wire.index] = refine(regions, wire, center)
            pairs[wire.index] = jax.tree.map(
                lambda *fields: jnp.stack(fields), center, region._replace(slopes=math.inf, drift=None)
            )
        pairs.append(
            jax.vmap(lambda *operands, step=step, rule=rule: rule.region(step, list(operands)))(
                *[pairs[wire.index] for wire in step.wires]
            )
        )
        regions.append(jax.tree.map(lambda field: field[1], pairs[-1]))
    return regions
