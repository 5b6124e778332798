"""The last good states of a run: written by orbax, told from damaged ones by digests of their files."""

import contextlib
import errno
import functools
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from lipjax import parallel
from lipjax.records.files import digest_of_file, read_json, write_json

if TYPE_CHECKING:
    import orbax.checkpoint  # takes a while, so where it is used

Tree = TypeVar("Tree")
DIGESTS = "digests.json"

OVERHEAD = 2**20
"""Bytes that must be free beside the arrays of a checkpoint: what orbax writes about them, and our own records."""

DESCRIPTORS = 32
"""Files that must be possible to open: orbax's threads met about 20, and where they meet a fault each one prints it."""


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != DIGESTS)
    return {str(path.relative_to(folder)): digest_of_file(path) for path in files}


def _refuse_scarcity(folder: Path, needed: int) -> None:
    """Raises an OSError before any thread meets it: no space, no descriptors."""
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {needed / 1e6:.0f} MB are needed")
    with contextlib.ExitStack() as opened:
        for _ in range(DESCRIPTORS):
            opened.enter_context(open(os.devnull, "rb"))


class Checkpoints:
    """A folder with one checkpoint per step, of which the `keep` newest are kept; None is for readers.

    A checkpoint appears whole or not at all, whenever the process dies. Nothing is pickled. There is no folder before
    something is asked of it.
    """

    def __init__(self, path: Path, keep: int | None):
        self.path = path
        self._keep = keep

    @functools.cached_property
    def _manager(self) -> "orbax.checkpoint.CheckpointManager":
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep, enable_async_checkpointing=False, cleanup_tmp_directories=self._keep is not None
        )
        return ocp.CheckpointManager(self.path, options=options)

    def save(self, step: int, state: Any) -> None:
        """Keeps a pytree of arrays; returns when it is on disk.

        Raises:
            OSError: If the machine refuses, for want of space or of file descriptors. The checkpoints of before are
                whole.
        """
        from orbax.checkpoint.args import StandardSave

        with self._faults_told(step):
            self.path.mkdir(parents=True, exist_ok=True)
            _refuse_scarcity(self.path, sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + OVERHEAD)
            self._manager.save(step, args=StandardSave(state))
        if parallel.is_main_process():
            folder = self.path / str(step)
            write_json(folder / DIGESTS, _digests(folder))

    @contextlib.contextmanager
    def _faults_told(self, step: int) -> Iterator[None]:
        """Faults of the machine as errors that say what is kept."""
        try:
            yield
        except (OSError, ValueError) as error:  # tensorstore's errors are ValueErrors that quote a number of errno
            quoted = re.search(r"os_error_code='(\d+)'", str(error))
            number = error.errno if isinstance(error, OSError) else int(quoted[1]) if quoted else None
            if number is None:
                raise
            reason = error.strerror if isinstance(error, OSError) else os.strerror(number)
            kept = max(self._manager.all_steps(), default=None)
            then = "" if kept is None else f"; that of step {kept} is whole, and the same command continues from it"
            raise OSError(number, f"{reason}: the checkpoint of step {step} was not written{then}") from error

    def newest(self, template: Tree) -> tuple[int, Tree] | None:
        """The newest good state with its step, or None if there is no checkpoint.

        Warns of every checkpoint that it passes over because it can't be read.

        Raises:
            ValueError: If there are checkpoints and none can be read with this template.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return step, self._read(step, template)
            except Exception as error:  # orbax raises whatever its parsers raise
                reason = (str(error) or type(error).__name__).splitlines()[0]
                warnings.warn(f"checkpoint {step} in {self.path} can't be read: {reason}", stacklevel=2)
        if steps:
            raise ValueError(f"no checkpoint in {self.path} can be read: is it from another version of the network?")
        return None

    def remove_after(self, step: int) -> None:
        """Removes the checkpoints of later steps."""
        for later in [saved for saved in self._manager.all_steps() if saved > step]:
            self._manager.delete(later)

    def close(self) -> None:
        """Waits for all that is being written."""
        if "_manager" in vars(self):
            self._manager.close()

    def _read(self, step: int, template: Tree) -> Tree:
        import orbax.checkpoint as ocp

        # A process that was killed before it wrote the digests had written all the rest.
        folder = self.path / str(step)
        if (folder / DIGESTS).exists() and _digests(folder) != read_json(folder / DIGESTS):
            raise ValueError("its files have changed since they were written")
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, template)
        return self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
