"""Where the time of a training step goes: its convolutions one by one, beside the limit of a core.

    python -m benchmarks.profile [--networks=resnet,resnet64] [--batch_size=100]

The networks of `benchmarks.networks`. Every convolution of the step is compiled and timed alone; told are thousands of
millions of operations, milliseconds of processor time and their ratio, by direction, and the whole step, with that of
PyTorch (eager, channels_last) where it is installed. The limit is the product of two matrices of 1024 x 1024.
"""

import argparse
import functools
import importlib.util
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import subjaxprs

from benchmarks.networks import CONTESTS, by_lipjax, by_torch, milliseconds
from lipjax import report, training
from lipjax.types import Batch, Method, Network

DIRECTIONS = {(0, 2): "forward", (0, 3): "by the images"}
"""By which axes of the operands the examples and the summed channels are; the rest is by the kernel."""


def convolutions(jaxpr: Any) -> Iterator[Any]:
    """All convolutions of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive is jax.lax.conv_general_dilated_p:
            yield equation
    for inner in subjaxprs(jaxpr):
        yield from convolutions(inner)


def alone(equation: Any) -> tuple[float, float]:
    """Operations in thousands of millions, and milliseconds."""
    operands = [jnp.full(variable.aval.shape, 0.5, variable.aval.dtype) for variable in equation.invars]
    program = jax.jit(functools.partial(equation.primitive.bind, **equation.params)).lower(*operands).compile()
    costs: Any = program.cost_analysis()
    return costs["flops"] / 1e9, milliseconds(lambda: program(*operands).block_until_ready())


def by_direction(network: Network, batch: Batch) -> list[dict[str, Any]]:
    """Operations and milliseconds of a training step's convolutions, layers of one shape timed once."""
    optimizer, key = training.adam(1e-3), jax.random.key(0)
    state = training.init(key, network, batch.inputs.shape[1:], optimizer)
    step = training.make_step(network, Method(), optimizer)
    known, operations, spent = {}, Counter(), Counter()
    for equation in convolutions(jax.make_jaxpr(step)(key, state, batch).jaxpr):
        numbers = equation.params["dimension_numbers"]
        direction = DIRECTIONS.get((numbers.lhs_spec[0], numbers.rhs_spec[1]), "by the kernel")
        shape = str((direction, [variable.aval for variable in equation.invars], equation.params))
        known[shape] = known.get(shape) or alone(equation)
        operations[direction] += known[shape][0]
        spent[direction] += known[shape][1]
    return [row(f"convolutions {name}", operations[name], spent[name]) for name in spent]


def row(what: str, operations: float, spent: float) -> dict[str, Any]:
    """A row of the table."""
    return {
        "what": what,
        "G operations": f"{operations:.1f}",
        "ms": f"{spent:.1f}",
        "G/s": f"{1e3 * operations / spent:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(CONTESTS), help=f"of {', '.join(CONTESTS)}")
    parser.add_argument("--batch_size", type=int, default=100, help="images at once")
    flags = parser.parse_args()
    square = jnp.ones((1024, 1024))
    limit = jax.jit(jnp.dot)
    print(
        report.text_table([row("limit", 2 * 1.024**3, milliseconds(lambda: limit(square, square).block_until_ready()))])
    )
    for name in flags.networks.split(","):
        contest = CONTESTS[name]
        images = jax.random.uniform(jax.random.key(1), (flags.batch_size, *contest.shape))
        batch = Batch(images, jnp.arange(flags.batch_size) % 10)
        rows = by_direction(contest.network, batch)
        rows.append(row("step", float("nan"), milliseconds(by_lipjax(contest.network, batch)[0]["training"])))
        if importlib.util.find_spec("torch") is not None:
            step = by_torch(contest.in_torch(), batch)["training"]
            rows.append(row("PyTorch's step", float("nan"), milliseconds(step)))
        print(f"\n{name}, batch {flags.batch_size}\n{report.text_table(rows)}")


if __name__ == "__main__":
    main()
