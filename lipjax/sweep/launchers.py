"""Where cells run: in several processes of this machine, each on a core of its own."""

import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def num_cores() -> int:
    """Cores that this process may use.

    Examples:
        >>> 1 <= num_cores() <= os.cpu_count()
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local(commands: Sequence[Sequence[str]]) -> Iterator[tuple[int, str | int]]:
    """Runs commands at the same time, each with one thread on a core of its own.

    Two processes of one thread each train twice as much as one of two threads: XLA's threads wait for each other in
    programs as small as these.

    Args:
        commands: Program and arguments of every process.

    Yields:
        `(index of the command, a line that it printed)` as they come, and `(index, exit status)` when it ends; 0 is
        success. Processes that are left when the caller stops listening are ended.

    Examples:
        >>> import sys
        >>> commands = [[sys.executable, "-c", "print(6 * 7)"], [sys.executable, "-c", "raise SystemExit(3)"]]
        >>> sorted(local(commands), key=str)
        [(0, '42'), (0, 0), (1, 3)]
    """
    processes = [_start(command, index) for index, command in enumerate(commands)]
    told: queue.Queue[tuple[int, str | int]] = queue.Queue()
    listeners = [
        threading.Thread(target=_listen, args=(index, process, told), daemon=True)
        for index, process in enumerate(processes)
    ]
    for listener in listeners:
        listener.start()
    running = len(processes)
    try:
        while running:
            index, said = told.get()
            running -= isinstance(said, int)
            yield index, said
    finally:
        for process in processes:
            process.terminate()
        for listener in listeners:
            listener.join()


def _start(command: Sequence[str], index: int) -> subprocess.Popen:
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()}
    if not hasattr(os, "sched_setaffinity"):
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    allowed = os.sched_getaffinity(0)
    try:  # a process starts where the thread that starts it may run
        os.sched_setaffinity(0, {sorted(allowed)[index % len(allowed)]})
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    finally:
        os.sched_setaffinity(0, allowed)


def _listen(index: int, process: subprocess.Popen, told: queue.Queue) -> None:
    with process:
        for line in process.stdout or ():
            told.put((index, line.rstrip("\n")))
    told.put((index, process.returncode))
