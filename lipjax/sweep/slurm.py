"""Where cells run: in jobs of a Slurm cluster, submitted by submitit."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lipjax import checks
from lipjax.values import Value, count, setting

_GRACE = 60.0
"""Seconds that a command has to save before its job is requeued; one that is killed loses what came since."""

_ALWAYS = 10_000
"""How often submitit requeues a job whose time is up: as often as there is work."""


class Command:
    """A command as a job that may be stopped and continued at any time.

    When the time limit is near, submitit calls `checkpoint`: the command is asked to stop, as by Ctrl-C, and the job is
    requeued with the same command. What it continues from is found by its settings, so a requeued job needs nothing
    that the first one knew, and makes no directory of its own.
    """

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self._process: subprocess.Popen | None = None

    def __call__(self) -> None:
        """Runs the command; its output is the job's."""
        self._process = subprocess.Popen(self.words)
        # Not Popen.wait, whose lock would be held when the handler of a signal waits for the same process.
        status = os.waitstatus_to_exitcode(os.waitpid(self._process.pid, 0)[1])
        if status:
            raise RuntimeError(f"ended with status {status}: {' '.join(self.words)}")

    def checkpoint(self) -> Any:
        """What is submitted in place of this job."""
        import submitit

        if self._process is not None:
            _end(self._process.pid)
        return submitit.helpers.DelayedSubmission(Command(self.words))


def _end(pid: int) -> None:
    """Ends a child: politely, and after a while at once."""
    try:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
    except (ChildProcessError, ProcessLookupError):
        pass  # it has ended by itself


class slurm(Value):
    """Jobs of a Slurm cluster that share the cells of a sweep; what is left empty is up to the cluster.

    A job whose time is up saves a checkpoint and requeues itself; a job that is preempted or requeued by others goes on
    where it was. All jobs are one array, so that the queue runs what it can at once.

    Attributes:
        num_jobs: How many jobs share the work.
        minutes: Time limit of a job.
        partition: Partition.
        account: Account.
        gpus: GPUs of a job.
        cpus: Cores of a job.
        memory: Memory of a job, in GB.
        options: Further options of submitit's Slurm executor, as words: `("constraint=a100", "qos=low")`.
        cluster: "slurm"; "local" for processes of this machine, to try out what would be submitted.

    Examples:
        >>> slurm(num_jobs=8, minutes=120, gpus=1)
        slurm(num_jobs=8, minutes=120, gpus=1)
        >>> slurm(options=("fast",))
        Traceback (most recent call last):
        ValueError: options of slurm are words such as constraint=a100, got fast
    """

    num_jobs: int = count(1)
    minutes: int = count(60)
    partition: str = setting("")
    account: str = setting("")
    gpus: int = count(0, least=0)
    cpus: int = count(1)
    memory: int = count(0, least=0)
    options: tuple[str, ...] = setting(())
    cluster: str = setting("slurm")

    def check(self) -> None:
        checks.one_of("cluster", self.cluster, ("slurm", "local"))
        for option in self.options:
            if not option.partition("=")[0].isidentifier() or "=" not in option:
                raise ValueError(f"options of slurm are words such as constraint=a100, got {option}")

    def submit(self, commands: Sequence[Sequence[str]], folder: Path | str, name: str, after: str = "") -> list[str]:
        """Submits commands, one job each, as one array.

        Args:
            commands: Program and arguments of every job, run in the present directory.
            folder: Where submitit keeps what jobs print.
            name: What the queue calls the jobs.
            after: Number of a job, or of an array, that has to end before, well or not.

        Returns:
            The numbers of the jobs.

        Raises:
            ImportError: If submitit is missing.
            RuntimeError: If there is no Slurm here, or it refuses the jobs.
        """
        executor = self._executor(folder, name, {"dependency": f"afterany:{after}"} if after else {})
        with executor.batch():
            jobs = [executor.submit(Command(words)) for words in commands]
        return [str(job.job_id) for job in jobs]

    def _executor(self, folder: Path | str, name: str, more: Mapping[str, str]) -> Any:
        submitit = _submitit()
        own: dict[str, Any] = {"timeout_min": self.minutes, "name": name, "cpus_per_task": self.cpus}
        own |= {"gpus_per_node": self.gpus} if self.gpus else {}
        own |= {"mem_gb": self.memory} if self.memory else {}
        chosen = {"partition": self.partition, "account": self.account, **dict(map(_pair, self.options)), **more}
        try:
            executor = submitit.AutoExecutor(folder, cluster=self.cluster, slurm_max_num_timeout=_ALWAYS)
            executor.update_parameters(**own, **{f"slurm_{word}": value for word, value in chosen.items() if value})
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise RuntimeError(f"slurm: {error}") from error
        return executor


def _pair(option: str) -> tuple[str, str]:
    word, _, value = option.partition("=")
    return word, value


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise ImportError("slurm needs submitit: pip install 'lipjax[slurm]'") from None
    return submitit
