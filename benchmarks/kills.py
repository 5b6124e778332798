"""Does a command survive? Kills it and all of its processes at random moments, and compares the end.

    python -m benchmarks.kills --num_kills=20
    python -m benchmarks.kills --commands train sweep48

Each command is started again after each kill, as a user would. Prints how many of its ends are not those of an
undisturbed command, to the byte: weights, answers, corrupted images, counts. Dates, seconds and what else differs
between two undisturbed commands is no part of that.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATA = ("--num_train=300", "--num_test=60")
NETWORK = "--network=mlp(widths=(16,))"
OFTEN = ("--log_every=10", "--checkpoint_every=20")
MEASURED = ("--corruptions=brightness", "--attacks=pgd(num_steps=2)", "--num_points=3", "--radii=0.1,0.5")
MANY = (*DATA, NETWORK, *MEASURED, "--num_bounded_points=0", "--num_steps=40", "--store={folder}/runs")
CELLS = ("--system=V,P(beta=[1e-4,1e-3]),L(gamma=[0.01,0.1]),PGD(num_steps=1)", "--learning_rate=[1e-3,2e-3]")
TRAINED = "--run_dir={folder}/trained"


class Case(NamedTuple):
    """A command, its flags, and whether it starts from a trained network."""

    command: str
    flags: tuple[str, ...]
    is_of_a_run: bool = False


CASES = {
    "train": Case("train", (*DATA, NETWORK, *OFTEN, "--num_steps=200", "--out_dir={folder}/run")),
    "compatibility": Case("compatibility", ("--dataset=fashion_mnist_mini", "--out_dir={folder}/counts")),
    "corrupt": Case("corrupt", ("--num_test=50", "--corruptions=shot_noise,fog", "--out_dir={folder}/corrupted")),
    "robustness": Case("robustness", (TRAINED, *MEASURED[:2]), is_of_a_run=True),
    "local_lipschitz": Case("local_lipschitz", (TRAINED, *MEASURED[2:]), is_of_a_run=True),
    "study": Case("study", ("--system=V,L(gamma=0.01)", "--seed=0,1", *MANY)),
    "sweep": Case("sweep", ("--system=V,P(beta=[1e-4,1e-3])", "--seed=0:2", *MANY)),
    "sweep48": Case("sweep", (*CELLS, "--seed=0:4", *MANY)),
    "packs48": Case("sweep", (*CELLS, "--seed=0:4", *MANY, *OFTEN, "--pack=map")),
}
"""What is killed: the seven commands that write, at sizes of seconds, and the sweep of 48 cells, also in packs."""

VOLATILE = ("environment", "second", "date", "config", "run_dir", "together")
"""Entries of JSON files that differ between two undisturbed commands: dates, times, places."""


def start(case: Case, folder: Path) -> subprocess.Popen:
    """The command in a session of its own, so that all of its processes can be killed at once."""
    flags = [flag.format(folder=folder) for flag in case.flags]
    command = [sys.executable, "-m", f"experiments.{case.command}", *flags, "--noprogress"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, object]:
    """What the command was asked for: arrays and tables as bytes, results without what differs from day to day."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if {"checkpoints", "journal", "packs.json"} & set(path.parts):  # the way there
            continue
        if path.suffix in (".npz", ".nc", ".npy", ".csv"):
            found[name] = path.read_bytes()
        elif path.suffix == ".json":
            found[name] = _steady(json.loads(path.read_text()))
    return found


def _steady(value: object) -> object:
    if isinstance(value, dict):
        return {name: _steady(item) for name, item in value.items() if not any(word in name for word in VOLATILE)}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def killed(case: Case, num_kills: int, draw: random.Random) -> tuple[int, int]:
    """Kills a command until there were enough, and compares each end.

    Returns:
        How many ends there were, and how many of them are not that of an undisturbed command.
    """
    with tempfile.TemporaryDirectory() as root:
        given = Path(root) / "given"
        given.mkdir()
        if case.is_of_a_run:
            flags = (*DATA, NETWORK, "--system=V", "--num_steps=20", "--out_dir={folder}/trained")
            _end(Case("train", flags), given)
        folder = Path(root) / "folder"  # one for all, since answers know the names of their runs

        def anew() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(given, folder)

        ends_undisturbed = []
        for _ in range(2):  # the first one compiles, the second one says how long it takes
            anew()
            started = time.monotonic()
            _end(case, folder)
            length, expected = time.monotonic() - started, contents(folder)
            ends_undisturbed.append(expected)
        if not expected or ends_undisturbed[0] != expected:
            raise SystemExit(f"{case.command} left nothing to compare, or not twice the same")
        kills = ends = differing = 0
        while kills < num_kills:
            anew()
            while kills < num_kills and _is_killed(start(case, folder), draw.uniform(0.2, 1.0) * length):
                kills += 1
            _end(case, folder)
            ends += 1
            found = contents(folder)
            differing += found != expected
            for name in sorted(found.keys() | expected.keys()):
                if found.get(name) != expected.get(name):
                    print(f"end {ends} differs: {name}", flush=True)
        return ends, differing


def _end(case: Case, folder: Path) -> None:
    if start(case, folder).wait():
        raise SystemExit(f"{case.command} failed")


def _is_killed(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the moment came before the end."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def main(commands: Sequence[str], num_kills: int, seed: int) -> int:
    """Kills each command that often; 0 if every end was that of an undisturbed one."""
    draw, total = random.Random(seed), 0
    for name in commands:
        ends, differing = killed(CASES[name], num_kills, draw)
        print(f"{name}: {num_kills} kills, {ends} ends, {differing} differ", flush=True)
        total += differing
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=CASES, default=list(CASES)[:-1])
    parser.add_argument("--num_kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(main(**vars(parser.parse_args())))
