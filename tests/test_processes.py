"""Two processes that run one command together: training, death and continuation, and a measurement."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import cli, local_lipschitz, process, train, workers
from lipjax import parallel, records

ROOT = Path(__file__).parents[1]
TRAINING = (
    "--num_train=100", "--num_test=10", "--network=mlp(widths=(4,))", "--batch_size=10", "--num_steps=400",
    "--optimizer=sgd", "--learning_rate=0.01", "--log_every=10", "--checkpoint_every=20",
)  # fmt: skip
MEASURING = ("--num_points=4", "--radii=0.1", "--num_bounded_points=0", "--estimator=sampled_slope(num_samples=2)")
MINUTE = 60.0


def two(command: str, *flags: str) -> list[subprocess.Popen]:
    """A command as two processes, each with a device."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = [sys.executable, "-m", f"experiments.{command}", *flags]
    one_device = {**os.environ, "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [*words, f"--processes=127.0.0.1:{port},{index},2"],
            cwd=ROOT,
            env=one_device,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of one process."""
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train.run(cli.parse(train.Config, [*TRAINING, f"--out_dir={path}"]))
    return path


def test_one_that_dies_ends_the_other_and_any_number_of_processes_continues(tmp_path: Path, undisturbed: Path) -> None:
    run = tmp_path / "run"
    survivor, dying = two("train", *TRAINING, "--stream", f"--out_dir={run}")  # each reads its part of the data
    while not (run / "checkpoints" / "40").exists():
        assert survivor.poll() is None, survivor.communicate()
        time.sleep(0.05)
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    _, error = survivor.communicate(timeout=MINUTE)
    assert survivor.returncode not in (0, None)
    assert "another process of this program ended" in error or "another task died" in error
    assert not (run / "results.json").exists()
    train.run(cli.parse(train.Config, [*TRAINING, f"--out_dir={run}"]))
    lines = [records.read_metrics(folder) for folder in (run, undisturbed)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    with np.load(run / "model.npz") as one, np.load(undisturbed / "model.npz") as other:
        for name in one.files:
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_a_measurement_of_two_processes_is_that_of_one(tmp_path: Path, undisturbed: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    told = [process.communicate() for process in two("local_lipschitz", *MEASURING, f"--run_dir={run}")]
    answers = records.open(run)
    local_lipschitz.run(cli.parse(local_lipschitz.Config, [*MEASURING, f"--run_dir={undisturbed}"]))
    np.testing.assert_allclose(answers.alpha, records.open(undisturbed).alpha, rtol=1e-5)
    assert ["radius" in said for said, _ in told] == [True, False]  # the main one speaks


@pytest.mark.parametrize("given", ["127.0.0.1", "host:1,0", "host:port,0,2", "host:1,-1,2"])
def test_a_flag_that_names_no_process_is_refused(given: str) -> None:
    with pytest.raises(cli.UsageError, match="HOST:PORT,INDEX,COUNT"):
        process.joined([f"--processes={given}"])


def test_processes_join_only_those_that_were_started_together() -> None:
    assert process.joined(["--seed=1"]) == ["--seed=1"]
    assert not parallel.is_one_of_several()
    assert not parallel._were_started_together({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "1"})
    assert not parallel._were_started_together({"TPU_WORKER_HOSTNAMES": "localhost"})
    for several in ({"SLURM_STEP_NUM_TASKS": "2"}, {"OMPI_COMM_WORLD_SIZE": "4"}, {"TPU_WORKER_HOSTNAMES": "a,b"}):
        assert parallel._were_started_together(several)
    assert parallel.largest(15) == 15


def test_the_last_cell_of_a_sweep_has_a_process_of_one_thread_as_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads sum in another order than one: its weights would depend on when the sweep was killed."""
    started: list[object] = []
    left = SimpleNamespace(
        places=[0, 1], unfinished=lambda: [1], answers=lambda: None, work=lambda tell: started.append("here") or {}
    )
    monkeypatch.setattr(workers, "num_cores", lambda: 2)
    monkeypatch.setattr(workers, "_share", lambda sweep, config, command, count, tell: started.append(count) or {})
    workers.completed(left, workers.WorkerFlags(progress=False), "sweep")
    assert started == [1]
