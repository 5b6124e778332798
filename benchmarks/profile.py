"""Where the time of lipjax's networks goes on one core: what the compiled steps are made of, beside the core's limit.

    taskset -c 0 python -m benchmarks.profile [--networks=resnet,resnet64] [--batch_size=100] [--num_calls=5]

The networks of `benchmarks.networks`. JAX's profiler times every operation of the compiled programs; they are told by
kind, in milliseconds a call, with the rate of convolutions and products in thousands of millions of operations a
second. The limit is that of a product of two matrices of 1024 x 1024.
"""

import argparse
import collections
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.networks import CONTESTS, by_lipjax, milliseconds
from lipjax import report
from lipjax.types import Batch

KINDS = {
    "convolutions": r" convolution\(",
    "products": r" dot\(",
    "transpositions": r"transpose",
    "sums": r" reduce\(",
}
"""What the text of an operation with all that it calls has in it; the first that fits counts."""


def kinds_of(program: str) -> dict[str, str]:
    """The kind of every operation of a compiled program, by its text."""
    parts = [part.strip() for part in program.split("\n\n")]
    computations = {part.split(" ", 1)[0].lstrip("%"): part for part in parts if part.startswith("%")}

    def kind(line: str) -> str:
        called = re.search(r"calls=%([\w.-]+)", line)
        text = re.sub(r", metadata=.*", "", line) + (computations.get(called[1], "") if called else "")
        return next((name for name, pattern in KINDS.items() if re.search(pattern, text)), "others")

    lines = re.finditer(r"^\s*(?:ROOT )?%([\w.-]+) = .*$", program, re.MULTILINE)
    return {line[1]: kind(line[0]) for line in lines}


def spent(run: Callable[[], Any], num_calls: int) -> dict[str, float]:
    """Milliseconds a call of every operation, by name."""
    run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(num_calls):
                run()
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    totals: Mapping[str, float] = collections.Counter()
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
            totals[event["args"]["hlo_op"]] += event["dur"] / 1e3 / num_calls
    return totals


def rows(name: str, batch_size: int, num_calls: int) -> list[dict[str, str]]:
    """A row for a training step and one for inference."""
    contest = CONTESTS[name]
    images = jax.random.uniform(jax.random.key(1), (batch_size, *contest.shape))
    ours = by_lipjax(contest.network, Batch(images, jnp.arange(batch_size) % 10))
    return [
        {"network": name, "work": work, **profile(run, ours.programs[work], num_calls)}
        for work, run in ours.runs.items()
    ]


def profile(run: Callable[[], Any], program: jax.stages.Compiled, num_calls: int) -> dict[str, str]:
    """The columns of a program."""
    kinds, costs = kinds_of(program.as_text() or ""), program.cost_analysis()
    totals = dict.fromkeys([*KINDS, "others"], 0.0)
    for operation, milliseconds_spent in spent(run, num_calls).items():
        totals[kinds.get(operation, "others")] += milliseconds_spent
    multiplied = totals["convolutions"] + totals["products"]
    return {
        "ms": f"{sum(totals.values()):.1f}",
        **{f"{kind}, %": f"{100 * part / sum(totals.values()):.0f}" for kind, part in totals.items()},
        "G/s of convolutions and products": f"{costs['flops'] / 1e6 / multiplied:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(CONTESTS), help=f"of {', '.join(CONTESTS)}")
    parser.add_argument("--batch_size", type=int, default=100, help="images at once")
    parser.add_argument("--num_calls", type=int, default=5, help="calls that are averaged")
    flags = parser.parse_args()
    square, product = jnp.ones((1024, 1024)), jax.jit(jnp.dot)
    limit = 2 * 1024**3 / 1e6 / milliseconds(lambda: product(square, square).block_until_ready())
    print(f"batch {flags.batch_size}; limit {limit:.0f} G/s")
    table = [row for name in flags.networks.split(",") for row in rows(name, flags.batch_size, flags.num_calls)]
    print(report.text_table(table))


if __name__ == "__main__":
    main()
