"""Does a sweep survive? Kills a sweep of 48 cells and all of its processes at random moments, and compares the end.

    python -m benchmarks.kills --num_kills=20

Prints how many trainings and answers are those of an undisturbed sweep, to the byte. Weights are compared as files,
answers as arrays: a netCDF file has no place for the time at which it was written, but its record has.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLAGS = [
    "--network=mlp(widths=(16,))",
    "--system=V,P(beta=[1e-4,1e-3]),L(gamma=[0.01,0.1]),PGD(num_steps=1)",
    "--learning_rate=[1e-3,2e-3]",
    "--seed=0:4",
    "--num_train=500",
    "--num_test=100",
    "--num_steps=60",
    "--log_every=10",
    "--checkpoint_every=20",
    "--corruptions=brightness",
    "--attacks=pgd(num_steps=2)",
    "--num_points=5",
    "--radii=0.1,0.5",
    "--num_bounded_points=0",
]


def start(store: Path) -> subprocess.Popen:
    """The sweep in a session of its own, so that all of its processes can be killed at once."""
    command = [sys.executable, "-m", "experiments.sweep", *FLAGS, f"--store={store}", "--noprogress"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


def contents(store: Path) -> dict[str, bytes]:
    """Weights and answers of all runs."""
    found = [*store.glob("*/model.npz"), *store.glob("*/measurements/*.nc")]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def main(num_kills: int, seed: int) -> int:
    """Kills until there were enough, and compares every sweep that came to its end; 0 if all are equal."""
    draw, kills, chains, differing = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        if start(Path(folder) / "undisturbed").wait():
            raise SystemExit("the undisturbed sweep failed")
        length, expected = time.monotonic() - started, contents(Path(folder) / "undisturbed")
        while kills < num_kills:
            store, chains = Path(folder) / f"killed{chains}", chains + 1
            while kills < num_kills and _is_killed(start(store), draw.uniform(0.1, 0.5) * length):
                kills += 1
            start(store).wait()
            differing += contents(store) != expected
        print(
            f"{length:.0f} s undisturbed, {len(expected)} files; {kills} kills in {chains} sweeps, {differing} differ"
        )
    return differing


def _is_killed(process: subprocess.Popen, seconds: float) -> bool:
    """Whether the moment came before the end."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(main(**vars(parser.parse_args())))
