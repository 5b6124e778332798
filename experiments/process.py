"""A command as a process: what it does as one of several processes, over several devices, and how it ends.

It exits with 2, before any compute, if its flags are wrong or its run directory is in use, and with 1 if some of its
work failed: without a traceback.
"""

import contextlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax

from lipjax import parallel
from lipjax.bounds import BracketError
from lipjax.datasets import cache
from lipjax.records import RunRefused
from lipjax.training import NonFiniteLoss, Stopped, raising

from .cli import Config, UsageError, help_text, parse

PROCESSES = re.compile(r"(\S+:\d+),(\d+),(\d+)")
_LOST = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "heartbeat", "oordination")
"""Words of what JAX says where another process is gone."""


class Incomplete(RuntimeError):  # noqa: N818 - reads as what happened
    """Some parts of the work failed; what came out of the others is written."""


def keep_programs() -> None:
    """Compiled programs are kept in lipjax's cache folder, unless JAX was told where to, for the next command."""
    if not getattr(jax.config, "jax_compilation_cache_dir", None):
        jax.config.update("jax_compilation_cache_dir", str(cache.root() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # small ones are many
        # An entry that another process is just writing, or was killed while writing: the program is compiled instead.
        warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")


def joined(arguments: Sequence[str]) -> list[str]:
    """Joins the other processes of this program, where there are; the arguments without the flag for that.

    Raises:
        UsageError: If the flag is not of its form, or the others can't be reached.
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("--processes=")]
    rest = [argument for argument in arguments if not argument.startswith("--processes=")]
    if given and not (form := PROCESSES.fullmatch(given[-1])):
        raise UsageError(f"--processes must be HOST:PORT,INDEX,COUNT with the index below the count, got {given[-1]}")
    try:
        parallel.join(*((form[1], int(form[2]), int(form[3])) if given and form else ()))
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"the other processes can't be reached: {one_line(error)}") from error
    return rest


def _over_devices(count: int | None) -> contextlib.AbstractContextManager:
    """Inside, what is computed for each example by itself is shared by so many devices; None for all."""
    if count is None:
        return contextlib.nullcontext()
    if count > jax.device_count():
        raise UsageError(f"--num_devices must be at most {jax.device_count()} here, got {count}")
    return parallel.over(parallel.mesh(jax.devices()[:count]) if count > 1 else None)


def _leave(error: Exception) -> NoReturn:
    """Ends one of several processes: without a word to the others, one of which may be what is missing."""
    if any(word in str(error) for word in _LOST):
        reason = f"another process of this program ended ({one_line(error)[:200]})"
        print(f"error: {reason}; the same command on all of them continues", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def main(
    config_class: type[Config], run: Callable[[Config], Any], doc: str | None, arguments: Sequence[str] | None = None
) -> None:
    """Runs an experiment as a command: flags to config, config to `run`.

    Args:
        config_class: Frozen dataclass whose fields are made by `flag`.
        run: The experiment.
        doc: Its docstring, shown by --help.
        arguments: Command line arguments; None for those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"--help", "-h", "-help"} & set(arguments):
        print(help_text(config_class, doc or ""))
        return
    try:
        arguments = joined(arguments) if getattr(config_class, "JOINS", True) else arguments
        told = contextlib.nullcontext() if parallel.is_main_process() else contextlib.redirect_stdout(None)
        with raising(), told:
            config = parse(config_class, arguments)
            keep_programs()
            with _over_devices(getattr(config, "num_devices", None)):
                run(config)
    except Stopped as stopped:
        print(f"{stopped}: the same command continues", file=sys.stderr)
        sys.exit(128 + stopped.signal_number)
    except (UsageError, RunRefused) as error:
        print(f"error: {one_line(error)} (--help explains the flags)", file=sys.stderr)
        sys.exit(2)
    except Incomplete as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except (NonFiniteLoss, BracketError, OSError, MemoryError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not parallel.is_one_of_several():
            raise
        _leave(error)


def one_line(error: BaseException) -> str:
    """What an error says, in one line that does nothing to a terminal."""
    text = " ".join((str(error) or type(error).__name__).split())
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
