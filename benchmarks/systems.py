"""What every system costs: the time of a training step over that of plain training, and what it promises.

    python -m benchmarks.systems [--num_rounds=9] [--batch_size=100] [--systems=vanilla,aol]

One network (`cnn`) on the embedded Fashion-MNIST images, every row of the table of systems with its defaults. Rows take
turns within a round, so that what else the machine does falls on all alike; a cost is the median over rounds of the
ratio to plain training in the same round.
"""

import argparse
import time
from collections.abc import Callable, Iterable

import jax
import numpy as np

from lipjax import datasets, networks, report, systems, training
from lipjax.types import Batch

STEPS_PER_ROUND = 5
HARD, SOFT = "hard, everywhere", "soft, around the data"
ABOUT = {
    "vanilla": ("", "none"),
    "parseval": ("Cisse et al. 2017", "soft, everywhere"),
    "parseval_cisse": ("Cisse et al. 2017", "soft, everywhere"),
    "parseval_lassance": ("Lassance et al. 2021", "soft, everywhere"),
    "l2_nonexpansive": ("Qian and Wegman 2019", HARD),
    "laplacian": ("Lassance et al. 2021", "soft, around the boundary"),
    "adversarial": ("Madry et al. 2018", SOFT),
    "madry_cifar10": ("Madry et al. 2018", SOFT),
    "madry_mnist": ("Madry et al. 2018", SOFT),
    "fast_adversarial": ("Wong et al. 2020", SOFT),
    "trades": ("Zhang et al. 2019", SOFT),
    "local_linearity": ("Qin et al. 2019", SOFT),
    "local_slope": ("ours", SOFT),
    "input_gradient": ("Ross and Doshi-Velez 2018", "soft, at the data"),
    "jacobian": ("Hoffman et al. 2019", "soft, at the data"),
    "mixup": ("Zhang et al. 2018", "soft, between the data"),
    "label_smoothing": ("Szegedy et al. 2016", "none"),
    "gaussian": ("Cohen et al. 2019", "hard, where smoothing certifies"),
    "spectral": ("Miyato et al. 2018", HARD),
    "aol": ("Prach and Lampert 2022", HARD),
    "sll": ("Araujo et al. 2023", HARD),
    "orthogonal": ("Li et al. 2019", HARD),
}
"""The paper of each row, and what it promises."""


def stepper(row: systems.Row, batch: Batch) -> Callable[[], None]:
    """Makes some training steps, the state of which it keeps."""
    system, optimizer, key = row(networks.cnn(10)), training.adam(1e-3), jax.random.key(0)
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


def measured(names: Iterable[str], batch_size: int, num_rounds: int) -> list[dict[str, float]]:
    """Seconds a training step of rows of the table of systems, round by round; plain training is the first."""
    train = datasets.load("fashion_mnist_mini").train
    batch = jax.tree.map(jax.numpy.asarray, Batch(*(leaf[:batch_size] for leaf in train)))
    steppers = {name: stepper(systems.ROWS[name], batch) for name in ["vanilla", *names]}
    for advance in steppers.values():
        advance()
    return [{name: seconds(advance) for name, advance in steppers.items()} for _ in range(num_rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_rounds", type=int, default=9, help="rounds in which the rows take turns")
    parser.add_argument("--batch_size", type=int, default=100, help="examples in a step")
    parser.add_argument("--systems", default="", help="rows, with commas between them; default all")
    flags = parser.parse_args()
    chosen = flags.systems.split(",") if flags.systems else list(ABOUT)
    rounds = measured(chosen, flags.batch_size, flags.num_rounds)
    print(
        report.text_table(
            [
                {
                    "system": name,
                    "paper": ABOUT.get(name, ("", ""))[0],
                    "promise": ABOUT.get(name, ("", ""))[1],
                    "ms per step": f"{1000 * np.median([one[name] for one in rounds]):.1f}",
                    "cost / V": f"{np.median([one[name] / one['vanilla'] for one in rounds]):.1f}",
                }
                for name in rounds[0]
            ]
        )
    )


if __name__ == "__main__":
    main()
