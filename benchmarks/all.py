"""Everything against what a user would otherwise pick, in one run on one machine: one table of ratios.

    python -m benchmarks.all [--only=networks,loops] [--csv=benchmarks/all.csv]

Each group is a benchmark of its own, with its settings made smaller; rivals that are not installed are left out. Above
1 lipjax is the better one. The table is printed, and kept as CSV with machine and date, anew after every group, so that
a run which is stopped keeps what it had.
"""

import argparse
import csv
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from benchmarks import attacks, bounds, cascade, compatibility, corruptions, estimators, loops, networks, systems
from lipjax import datasets, report
from lipjax.norms import l2, linf
from lipjax.types import Batch, Model

NUM_ROUNDS = 3


class Row(NamedTuple):
    """One piece of work: what it takes lipjax and a rival, less being better; NaN where there is no rival."""

    work: str
    rival: str
    ours: float
    theirs: float
    unit: str

    def cells(self) -> dict[str, str]:
        """The row as text."""
        ratio = "" if np.isnan(self.theirs) else f"{self.theirs / self.ours:.3g}"
        theirs = "" if np.isnan(self.theirs) else f"{self.theirs:.4g}"
        return {
            "work": self.work,
            "rival": self.rival,
            "lipjax": f"{self.ours:.4g}",
            "theirs": theirs,
            "unit": self.unit,
            "ratio": ratio,
        }


def against_first(work: str, times: dict[str, float]) -> Iterator[Row]:
    """Rows of the first tool against each other one."""
    first, *others = times
    yield from (Row(work, other, times[first], times[other], "s") for other in others)


def of_networks() -> Iterator[Row]:
    """Training steps and inference, compilation and memory."""
    for name in networks.CONTESTS:
        outcome = networks.measured(name, 100, NUM_ROUNDS)
        for work in ("training", "inference"):
            theirs = outcome.milliseconds.get(("PyTorch", work), float("nan"))
            yield Row(f"{name}, {work}", "PyTorch", outcome.milliseconds["lipjax", work], theirs, "ms")
        yield Row(f"{name}, training, compilation", "", outcome.compilation, float("nan"), "s")
        yield Row(f"{name}, training, memory", "", outcome.temporary_bytes / 1e6, float("nan"), "MB")


def of_systems() -> Iterator[Row]:
    """Training steps of all systems beside the plain one: what robustness costs."""
    rounds = systems.measured(systems.ABOUT, 100, NUM_ROUNDS)
    times = {name: 1e3 * float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    for name, spent in times.items():
        yield Row(f"training step, {name}", "vanilla", spent, times["vanilla"], "ms")


def of_loops() -> Iterator[Row]:
    """PGD around a user's convolutions."""
    medians, _ = loops.measured(num_steps=10, num_images=16, num_rounds=NUM_ROUNDS)
    for rival in ("XLA", "outside"):
        name = "jax.lax's loops" if rival == "XLA" else "steps outside a loop"
        yield Row("PGD, a user's convolutions", name, medians["lipjax"], medians[rival], "ms")


def _victim() -> tuple[Model, Batch]:
    dataset = datasets.load("fashion_mnist_mini")
    model = attacks.trained(dataset, num_steps=200)
    return model, attacks.rightly_classified(model, dataset.test)


def of_attacks() -> Iterator[Row]:
    """Single attacks."""
    model, batch = _victim()
    for name, rivals in attacks.contests(model, batch, num_steps=20, num_queries=500).items():
        runs = {tool: run for tool, run in rivals._asdict().items() if run is not None}
        for run in runs.values():
            run()
        yield from against_first(name, attacks.medians(runs, NUM_ROUNDS))


def of_cascades() -> Iterator[Row]:
    """Robust accuracy."""
    model, batch = _victim()
    batch = Batch(*(leaf[:100] for leaf in batch))
    for ball in (linf.ball(attacks.RADII["linf"]), l2.ball(attacks.RADII["l2"])):
        name = f"cascade, {ball.norm.name}"
        found = {suite: cascade.by_lipjax(model, batch, ball, suite) for suite in cascade.SUITES}
        fast, standard = found["fast"], found["standard"]
        yield Row(f"{name}: fast", "standard", fast.gradients, standard.gradients, "gradients")
        yield Row(f"{name}: fast", "standard", fast.seconds, standard.seconds, "s")
        yield Row(f"{name}: standard, compilation", "", standard.compilation, float("nan"), "s")
        if attacks.is_installed("torch", "pyautoattack"):
            theirs = cascade.by_autoattack(attacks.in_torch(model), batch, ball)
            yield Row(f"{name}: standard", "AutoAttack's code", standard.seconds, theirs.seconds, "s")


def of_estimators() -> Iterator[Row]:
    """Local constants."""
    model, batch = _victim()
    batch = Batch(*(leaf[: estimators.NUM_IMAGES] for leaf in batch))
    for name, contest in estimators.CONTESTS.items():
        runs = contest(model, batch)
        for run in runs.values():
            run()
        yield from against_first(name, attacks.medians(runs, NUM_ROUNDS))


def of_bounds() -> Iterator[Row]:
    """Upper bounds: what they take, and how large they are."""
    for row in bounds.compiled(bounds.NETWORKS):
        spent = row["first call, s"] - row["later, s"]
        yield Row(f"bound by {row['method']}, cnn, compilation", "", spent, float("nan"), "s")
    if not bounds.NETWORKS.is_dir():
        return
    by_eclipse = bounds.eclipse(bounds.NETWORKS)
    for name, row in {row["network"]: row for row in by_eclipse}.items():
        rates = row["lipjax, bounds / s"], row["eclipse-nn, bounds / s"]
        yield Row(f"bound, {name}, l2", "eclipse-nn", 1e3 / rates[0], 1e3 / rates[1], "ms")
    for row in by_eclipse:
        name = f"bound, {row['network']}, l2, {row['radius']:g}"
        yield Row(name, "eclipse-nn", row["lipjax"], row["eclipse-nn"], "slope")
    for row in bounds.lirpa(bounds.NETWORKS):
        name = f"{row['network']}, linf, {row['radius']:.3g}"
        yield Row(f"bound, {name}", "auto_LiRPA (stored)", row["lipjax, s"], row["auto_LiRPA, s"], "s")
        yield Row(f"bound, {name}", "auto_LiRPA (stored)", row["lipjax"], row["auto_LiRPA"], "slope")


def of_corruptions() -> Iterator[Row]:
    """All corruptions that both have."""
    ours, theirs = corruptions.totals(num_images=200, num_reference=5)
    if ours:
        yield Row("corruptions, an image", "imagecorruptions", 1e3 * ours, 1e3 * theirs, "ms")


def of_compatibility() -> Iterator[Row]:
    """Distances of pairs of images."""
    for norm, measured in compatibility.candidates().items():
        pairs, computations = zip(*measured.values(), strict=True)
        times = np.array(compatibility.medians(list(computations))) / pairs * 1e9
        names = [*measured]
        for name, spent in zip(names[1:], times[1:], strict=True):
            yield Row(f"pairs, {norm}", name, times[0], spent, "ns a pair")


def of_start() -> Iterator[Row]:
    """What an import takes: beyond JAX's own, a ratio of 1 is none."""

    def seconds(statement: str) -> float:
        def once() -> float:
            before = os.times()
            subprocess.run([sys.executable, "-c", statement], check=True)
            after = os.times()
            return after.children_user + after.children_system - before.children_user - before.children_system

        return min(once() for _ in range(NUM_ROUNDS))

    yield Row(
        "import lipjax", "import jax, flax.linen", seconds("import lipjax"), seconds("import jax, flax.linen"), "s"
    )


GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "networks": of_networks,
    "systems": of_systems,
    "loops": of_loops,
    "attacks": of_attacks,
    "cascades": of_cascades,
    "estimators": of_estimators,
    "bounds": of_bounds,
    "corruptions": of_corruptions,
    "compatibility": of_compatibility,
    "start": of_start,
}


def processor() -> str:
    """What the processor calls itself."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def write(path: Path, rows: list[Row]) -> None:
    """The table as CSV, each row with the machine and the date."""
    where = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores, {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
    }
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0].cells(), *where], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.cells() | where for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas between them")
    parser.add_argument("--csv", type=Path, default=Path("benchmarks/all.csv"))
    flags = parser.parse_args()
    unknown = {*flags.only.split(",")} - {*GROUPS}
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} are none of {', '.join(GROUPS)}")
    rows: list[Row] = []
    for name in flags.only.split(","):
        start = time.perf_counter()
        rows += GROUPS[name]()
        write(flags.csv, rows)
        print(f"{name}: {time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    print(report.text_table([row.cells() for row in rows]))


if __name__ == "__main__":
    main()
