"""How does the cost grow? Packs beside separate trainings and processes, one device beside several, and growing work.

    python -m benchmarks.scale [--num_steps=200] [--num_rounds=3] [--figure=scale]

Eight seeds of an `mlp` and of a `cnn` are trained one after another, as packs (`map`, `vmap`), and by one process per
core of one thread; seconds are without compilation, which is told beside them, medians of rounds that take turns. Then
one step of a large batch on one and on several simulated devices, whose times `t(1) (1 - p + p / n)` fits: p is the
parallel fraction, which on a CPU can't exceed what its cores allow. Last, the processor time of growing work as
`fixed + each n`, with the memory of the process beside it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from lipjax import datasets, estimators, networks, parallel, report, sweep, systems, training
from lipjax.types import Dataset

NETWORKS = {"mlp": networks.mlp(10), "cnn": networks.cnn(10)}
SEEDS, BATCH, DISPATCH = range(8), 100, 10
DEVICES = (1, 2, 4, 8)
Seconds = dict[str, float]


def pack(network: str, seeds: Sequence[int]) -> list[training.Trainee]:
    system = systems.ROWS["V"](NETWORKS[network])
    return [training.Trainee(jax.random.key(seed), system, training.adam(1e-3)) for seed in seeds]


def trained(
    trainees: Sequence[training.Trainee], dataset: Dataset, way: str, num_steps: int, batch: int = BATCH, mesh=None
):
    execution = training.Execution(
        progress=False, log_every=DISPATCH, checkpoint_every=num_steps, steps_per_dispatch=DISPATCH, mesh=mesh
    )
    options: Any = {"num_steps": num_steps, "batch_size": batch, "execution": execution}
    if way != "alone":
        return training.fit_together(trainees, dataset, way=way, **options)
    return [training.fit_together([trainee], dataset, **options) for trainee in trainees]


def timed(run: Callable[..., object], *args: object) -> Seconds:
    wall, processor = time.perf_counter(), time.process_time()
    run(*args)
    return {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def median(rounds: Sequence[Seconds]) -> Seconds:
    return {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}


def packs(network: str, dataset: Dataset, num_steps: int, num_rounds: int) -> list[dict[str, Any]]:
    """Rows of the ways to train eight seeds."""
    pairs = [(way, pack(network, SEEDS)) for way in ("alone", "map", "vmap")]
    first = {way: timed(trained, those, dataset, way, DISPATCH)["processor"] for way, those in pairs}
    rounds: dict[str, list[Seconds]] = {way: [] for way in first}
    for _ in range(num_rounds):
        for way, those in pairs:
            rounds[way].append(timed(trained, those, dataset, way, num_steps))
    found = {way: median(rounds[way]) | {"compiling": first[way]} for way in first}
    found["processes"] = by_processes(network, num_steps, num_rounds)
    return [{"network": network, "way": way} | told(seconds) for way, seconds in found.items()]


def told(seconds: Seconds) -> dict[str, str]:
    return {f"{name} s": f"{value:.2f}" for name, value in seconds.items()}


def by_processes(network: str, num_steps: int, num_rounds: int) -> Seconds:
    """The seeds among one process per core: the longest wall time, the sum of processor times."""
    count = sweep.num_cores()
    parts = [",".join(map(str, SEEDS[index::count])) for index in range(count)]
    words = [sys.executable, "-m", "benchmarks.scale", f"--num_steps={num_steps}", f"--num_rounds={num_rounds}"]
    commands = [[*words, f"--network={network}", f"--seeds={seeds}"] for seeds in parts]
    lines = [json.loads(said) for _, said in sweep.local(commands) if isinstance(said, str)]
    return {
        "wall": max(line["wall"] for line in lines),
        "processor": sum(line["processor"] for line in lines),
        "compiling": sum(line["compiling"] for line in lines),
    }


def of_process(flags: argparse.Namespace, dataset: Dataset) -> None:
    """What one of several processes does, told as a line of JSON."""
    those = pack(flags.network, [int(seed) for seed in flags.seeds.split(",")])
    first = timed(trained, those, dataset, "alone", DISPATCH)["processor"]
    rounds = [timed(trained, those, dataset, "alone", flags.num_steps) for _ in range(flags.num_rounds)]
    print(json.dumps(median(rounds) | {"compiling": first}))


def of_devices(flags: argparse.Namespace, dataset: Dataset) -> None:
    """Seconds of a step of a large batch on all devices of this process, told as a line of JSON."""
    mesh = parallel.mesh() if jax.device_count() > 1 else None

    def run(num_steps: int) -> None:
        trained(pack("cnn", [0]), dataset, "alone", num_steps, batch=800, mesh=mesh)

    run(DISPATCH)
    short, long = (
        median([timed(run, num_steps) for _ in range(flags.num_rounds)]) for num_steps in (DISPATCH, 5 * DISPATCH)
    )
    print(json.dumps({name: (long[name] - short[name]) / 4 / DISPATCH for name in long}))


def devices(num_rounds: int) -> list[dict[str, Any]]:
    """Rows of one and of several simulated devices."""
    steps: dict[int, Seconds] = {}
    for count in DEVICES:
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        words = [sys.executable, "-m", "benchmarks.scale", f"--num_rounds={num_rounds}", "--devices"]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        steps[count] = json.loads(done.stdout)
    gain = np.array([1 - 1 / count for count in DEVICES])
    lost = np.array([1 - steps[count]["wall"] / steps[1]["wall"] for count in DEVICES])
    fraction = float(gain @ lost / (gain @ gain))
    return [
        {
            "devices": count,
            "wall ms per step": f"{1e3 * seconds['wall']:.1f}",
            "processor ms per step": f"{1e3 * seconds['processor']:.1f}",
            "parallel fraction": f"{fraction:.2f}" if count == DEVICES[-1] else "",
        }
        for count, seconds in steps.items()
    ]


def growing(dataset: Dataset, num_rounds: int) -> pd.DataFrame:
    """Processor time of growing work, each after its compilation, with the memory of the process."""
    model = training.fit(
        *(jax.random.key(0), systems.ROWS["V"](NETWORKS["mlp"]), dataset, training.adam(1e-3)),
        num_steps=10,
        batch_size=100,
    )
    inputs = np.asarray(dataset.train.inputs, np.float32) / 255

    def curve(num_points: int, num_radii: int) -> None:
        radii = np.geomspace(0.05, 1.75, num_radii)
        found = estimators.curve(
            jax.random.key(0), estimators.sampled_slope(num_samples=20), model.single, inputs[:num_points], radii
        )
        jax.block_until_ready(found.values)

    work: dict[str, tuple[Callable[[int], object], tuple[int, ...]]] = {
        "examples": (lambda count: curve(count, 2), (64, 128, 256, 512)),
        "radii": (lambda count: curve(64, count), (2, 4, 8, 16)),
        "cells": (lambda count: trained(pack("mlp", range(count)), dataset, "map", 50), (2, 4, 8, 16)),
    }
    rows = []
    for what, (run, counts) in work.items():
        for count in counts:
            run(count)
            seconds = float(np.median([timed(run, count)["processor"] for _ in range(num_rounds)]))
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append({"what": what, "number": count, "seconds": seconds, "peak MB": round(memory)})
    return pd.DataFrame(rows)


def fitted(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """`fixed + each n` by least squares, of each kind of work, and how far the times are from it."""
    found = []
    for what, own in rows.groupby("what", sort=False):
        each, fixed = np.polyfit(own["number"], own["seconds"], 1)
        off = np.abs(fixed + each * own["number"] - own["seconds"]) / own["seconds"]
        line = {
            "what": what,
            "fixed s": f"{fixed:.2f}",
            "each ms": f"{1e3 * each:.2f}",
            "off by at most": f"{off.max():.0%}",
        }
        found.append(line)
    return found


def draw(rows: pd.DataFrame, stem: str) -> None:
    import altair as alt

    from lipjax.report import figures

    chart = (
        alt.Chart(figures.data(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("number:Q", scale=alt.Scale(type="log", base=2), title="number of cells, examples or radii"),
            y=alt.Y("seconds:Q", scale=alt.Scale(type="log", nice=False), title="processor time (s)"),
            color="what:N",
        )
    )
    about = f"V on {jax.devices()[0].device_kind}, compiled"
    print(*report.save(figures.finished(chart, "How the cost grows", about), stem), sep="\n")


def show(flags: argparse.Namespace, dataset: Dataset) -> None:
    print(
        report.text_table([row for name in NETWORKS for row in packs(name, dataset, flags.num_steps, flags.num_rounds)])
    )
    print("\n" + report.text_table(devices(flags.num_rounds)))
    rows = growing(dataset, flags.num_rounds)
    print("\n" + report.text_table(rows.to_dict("records")))
    print("\n" + report.text_table(fitted(rows)))
    if flags.figure:
        draw(rows, flags.figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_steps", type=int, default=200, help="length of the trainings, a multiple of 10")
    parser.add_argument("--num_rounds", type=int, default=3, help="rounds in which the ways take turns")
    parser.add_argument("--figure", default="", help="path without suffix of a figure of growing work")
    parser.add_argument("--network", default="", help="own: what a process trains")
    parser.add_argument("--seeds", default="", help="own: its seeds")
    parser.add_argument("--devices", action="store_true", help="own: a process of several devices")
    flags = parser.parse_args()
    dataset = datasets.load("fashion_mnist_mini", dtype="stored")
    if flags.seeds:
        of_process(flags, dataset)
    elif flags.devices:
        of_devices(flags, dataset)
    else:
        show(flags, dataset)


if __name__ == "__main__":
    main()
