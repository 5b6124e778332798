"""Sweeps as jobs: through submitit on this machine, and on a real Slurm of one node where Debian's is installed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments import cli, train
from experiments.sweep import TRAINING
from lipjax.sweep import slurm

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
FLAGS = (
    "--network=mlp(widths=(4,))", "--system=V", "--num_steps=20", "--batch_size=8", "--num_train=64", "--num_test=8",
    "--corruptions=brightness", "--attacks=fgsm", "--num_points=2", "--radii=0.1",
)  # fmt: skip


def eventually(is_so: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    """Waits for a state."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"never {what}"
        time.sleep(0.2)


def sweep(folder: Path, launcher: str, *more: str, **environment: str) -> subprocess.CompletedProcess:
    """The command of a sweep."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.sweep", *FLAGS, f"--store={folder}", f"--launcher={launcher}", *more],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def saved(folder: Path) -> int:
    """The step of the last checkpoint, 0 without one."""
    return max([0, *(int(path.name) for path in folder.glob("*/checkpoints/*") if path.name.isdigit())])


def trained(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/model.json"))


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"slurm: .*srun"):
        slurm().submit([["true"]], tmp_path, "name")


def test_a_job_whose_time_is_up_stops_its_command_and_continues_it(tmp_path: Path) -> None:
    """A command that needs two lives: what the first one wrote is there for the second."""
    work, job = tmp_path / "work.py", tmp_path / "job.py"
    lives, started = tmp_path / "lives", tmp_path / "started"
    work.write_text(
        "import pathlib, signal, sys, time\n"
        f"lives = pathlib.Path({str(lives)!r})\n"
        "def stop(*_):\n    lives.write_text('saved'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "if lives.exists():\n    lives.write_text(lives.read_text() + ' and continued'); sys.exit()\n"
        f"pathlib.Path({str(started)!r}).touch()\ntime.sleep(600)\n"
    )
    job.write_text(
        "import os, signal, sys\nfrom lipjax.sweep.slurm import Command\n"
        f"command = Command([sys.executable, {str(work)!r}])\n"
        "signal.signal(signal.SIGUSR2, lambda *_: (command.checkpoint().function(), os._exit(7)))\n"
        "command()\n"
    )
    child = subprocess.Popen([sys.executable, str(job)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    eventually(started.exists, "started")
    child.send_signal(signal.SIGUSR2)
    assert child.wait() == 7
    assert lives.read_text() == "saved and continued"


@pytest.mark.slow
def test_a_job_of_this_machine_computes_a_sweep_and_one_after_it_writes_its_results(tmp_path: Path) -> None:
    done = sweep(tmp_path, 'slurm(cluster="local")', "--seed=0:2")
    assert done.returncode == 0, done.stderr
    assert len(trained(tmp_path)) == 2
    assert len(list(tmp_path.glob("sweep-*/networks.csv"))) == 1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Slurm of one node; the environment that its commands need."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a Slurm needs root and Debian's slurm-wlm and munge, missing: {', '.join(missing) or 'root'}")
    folder, host = tmp_path_factory.mktemp("slurm"), socket.gethostname()
    ports = [_free_port() for _ in range(2)]
    settings = {
        "ClusterName": "lipjax", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmUser": "root", "SlurmdUser": "root",
        "AuthType": "auth/munge", "CredType": "cred/munge", "AuthInfo": f"socket={folder}/munge.socket,cred_expire=5",
        "SlurmctldPort": ports[0], "SlurmdPort": ports[1], "MpiDefault": "none", "ReturnToService": 2,
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "JobRequeue": 1, "KillWait": 5,
        "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core", "MinJobAge": 600,
        "StateSaveLocation": folder / "state", "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid", "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log", "SlurmdLogFile": folder / "slurmd.log",
        "NodeName": f"{host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN",
        "PartitionName": "main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
    }  # fmt: skip
    configuration = folder / "slurm.conf"
    configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for path in (folder, key):
        shutil.chown(path, "munge", "munge")
    folder.chmod(0o755)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    environment = {"SLURM_CONF": str(configuration)}
    munged = ["munged", "-F", f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"]
    munged += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = [
        subprocess.Popen(["runuser", "-u", "munge", "--", *munged]),
        subprocess.Popen(["slurmctld", "-D", "-f", str(configuration)], env={**os.environ, **environment}),
        subprocess.Popen(["slurmd", "-D", "-f", str(configuration)], env={**os.environ, **environment}),
    ]
    try:
        eventually(lambda: "idle" in _said(["sinfo", "-h", "-o", "%t"], environment), "idle", 60.0)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _said(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_a_cancelled_and_a_requeued_job_of_a_real_slurm_end_with_the_bits_of_an_undisturbed_training(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    long = ("--num_steps=20000", "--seed=0")
    reached = 0
    for is_cancelled in (True, False):
        done = sweep(tmp_path, "slurm(num_jobs=1, minutes=5)", *long, **cluster)
        assert done.returncode == 0, done.stderr
        number = done.stdout.split("submitted sweep as ")[1].split(";")[0]
        eventually(lambda before=reached: saved(tmp_path) > before, "saved")
        # The job that writes the results computes what is missing too, so it is cancelled as well.
        interrupt = ["scancel", "--user=root"] if is_cancelled else ["scontrol", "requeue", number]
        subprocess.run(interrupt, env={**os.environ, **cluster}, check=True)
        if is_cancelled:
            eventually(lambda: not _said(["squeue", "-h"], cluster).strip(), "ended")
            reached = saved(tmp_path)
            assert not trained(tmp_path)
    eventually(lambda: bool(list(tmp_path.glob("sweep-*/networks.csv"))), "finished")
    (run,) = trained(tmp_path)
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 20000
    assert not [path for path in tmp_path.glob("V-*") if path != run]
    own = [flag for flag in (*FLAGS, *long) if flag.partition("=")[0].removeprefix("--") in TRAINING]
    train.run(cli.parse(train.Config, [*own, f"--out_dir={tmp_path / 'undisturbed'}"]))
    assert (run / "model.npz").read_bytes() == (tmp_path / "undisturbed" / "model.npz").read_bytes()
