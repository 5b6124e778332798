"""What every system costs: the time of a training step over that of plain training, and what it promises.

    python -m benchmarks.systems [--num_rounds=9] [--batch_size=100] [--systems=vanilla,aol]

One network (`cnn`) on the embedded Fashion-MNIST images, every row of the table of systems with its defaults. Rows take
turns within a round, so that what else the machine does falls on all alike; a cost is the median over rounds of the
ratio to plain training in the same round.
"""

import argparse
import functools
import re
import time
from collections.abc import Callable

import jax
import numpy as np
import optax

from experiments import choices
from lipjax import datasets, networks, report, training
from lipjax.types import Batch

STEPS_PER_ROUND = 5
PAPERS = {
    "vanilla": "",
    "parseval": "Cisse et al. 2017",
    "parseval_cisse": "Cisse et al. 2017",
    "parseval_lassance": "Lassance et al. 2021",
    "l2_nonexpansive": "Qian and Wegman 2019",
    "laplacian": "Lassance et al. 2021",
    "adversarial": "Madry et al. 2018",
    "madry_cifar10": "Madry et al. 2018",
    "madry_mnist": "Madry et al. 2018",
    "fast_adversarial": "Wong et al. 2020",
    "trades": "Zhang et al. 2019",
    "local_linearity": "Qin et al. 2019",
    "input_gradient": "Ross and Doshi-Velez 2018",
    "jacobian": "Hoffman et al. 2019",
    "gaussian": "Cohen et al. 2019",
    "spectral": "Miyato et al. 2018",
    "aol": "Prach and Lampert 2022",
    "sll": "Araujo et al. 2023",
    "orthogonal": "Li et al. 2019",
}


def rows() -> dict[str, Callable]:
    """Every row of the table once, under its first name."""
    found: dict[str, Callable] = {}
    for name, row in choices.SYSTEMS.items():
        if all(row is not known for known in found.values()):
            found[name] = row
    return found


def promise(row: Callable) -> str:
    """What the docstring of a row says that it promises."""
    constructor = row.func if isinstance(row, functools.partial) else row
    said = re.search(r"\b(hard|soft) promise,? ([\w ]+?)(?=\.)", constructor.__doc__ or "")
    return f"{said[1]}, {said[2]}" if said else "none"


def stepper(row: Callable, batch: Batch) -> Callable[[], None]:
    """Makes some training steps, the state of which it keeps."""
    system, optimizer, key = row(functools.partial(networks.cnn, 10)), optax.adam(1e-3), jax.random.key(0)
    step = jax.jit(training.make_step(system.network, system.method, optimizer))
    state = training.init(key, system.network, batch.inputs.shape[1:], optimizer)

    def advance() -> None:
        nonlocal state
        for _ in range(STEPS_PER_ROUND):
            state, _ = step(key, state, batch)
        jax.block_until_ready(state.variables.params)

    return advance


def seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) / STEPS_PER_ROUND


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_rounds", type=int, default=9, help="rounds in which the rows take turns")
    parser.add_argument("--batch_size", type=int, default=100, help="examples in a step")
    parser.add_argument("--systems", default="", help="rows, with commas between them; default all")
    flags = parser.parse_args()
    table = rows()
    chosen = flags.systems.split(",") if flags.systems else list(table)
    train = datasets.load("fashion_mnist_mini").train
    batch = jax.tree.map(jax.numpy.asarray, Batch(*(leaf[: flags.batch_size] for leaf in train)))
    steppers = {name: stepper(table[name], batch) for name in ["vanilla", *chosen]}
    for advance in steppers.values():
        advance()
    rounds = [{name: seconds(advance) for name, advance in steppers.items()} for _ in range(flags.num_rounds)]
    print(
        report.text_table(
            [
                {
                    "system": name,
                    "paper": PAPERS.get(name, ""),
                    "promise": promise(table[name]),
                    "ms per step": f"{1000 * np.median([one[name] for one in rounds]):.1f}",
                    "cost / V": f"{np.median([one[name] / one['vanilla'] for one in rounds]):.1f}",
                }
                for name in steppers
            ]
        )
    )


if __name__ == "__main__":
    main()
