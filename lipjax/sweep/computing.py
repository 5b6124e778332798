"""Trains and measures what is missing of a sweep, in this process; several may do so over one folder at once."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lipjax import checks, measurements, records
from lipjax.measurements import Measurement, Parts, Progress, Told
from lipjax.sweep.cells import Cell
from lipjax.sweep.packs import PACKS, Place, grouped, is_trained, train_pack, way_of
from lipjax.training import Execution, NonFiniteLoss
from lipjax.types import Dataset, KeyArray

if TYPE_CHECKING:
    import xarray


class Sweep:
    """Cells, what is asked of them, and where it is kept.

    Args:
        key: The key of all measurements: every network meets the same noise.
        cells: What is trained.
        dataset: On what.
        asked: What is measured of every trained network.
        folder: Where the run directories are. A run of the same settings in it is taken, whoever trained it.
        execution: How every training is run.
        pack: How cells that share a program are trained together: "vmap", "map", "none", or "auto": on
            accelerators as a trial says, on CPU "none".

    Raises:
        ValueError: If two cells have one name and seed, or a cell or a measurement does not suit the dataset.

    Examples:
        >>> import jax, tempfile
        >>> from lipjax import datasets, networks, sweep, systems, training
        >>> cells = sweep.grid({"V": systems.ROWS["V"](networks.mlp(2))}, training.adam(), num_steps=10, batch_size=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     begun = Sweep(jax.random.key(0), cells, datasets.load("toy"), [], folder)
        ...     [place.label for place in begun.unfinished()]
        ['V, seed 0']
    """

    def __init__(
        self,
        key: KeyArray,
        cells: Sequence[Cell],
        dataset: Dataset,
        asked: Sequence[Measurement],
        folder: Path | str = "runs",
        execution: Execution = Execution(progress=False),  # noqa: B008 - immutable
        pack: str = "auto",
    ):
        checks.one_of("pack", pack, [*PACKS])
        self._key, self._parts, self._asked = key, Parts(dataset), tuple(measurements.distinct(asked))
        self._folder, self._execution, self._pack = Path(folder), execution, pack
        for cell in cells:
            cell.refuse(dataset)
        for measurement in self._asked:
            measurement.refuse(dataset)
        known = records.index(folder)
        self.places = [Place(cell, self._path(cell, Path(folder), known)) for cell in cells]
        labels = [place.label for place in self.places]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"cells of one name and seed: {', '.join(twice)}")

    def _path(self, cell: Cell, folder: Path, known: Mapping[str, Path]) -> Path:
        settings = cell.settings(self._parts)
        words = (Path(self._parts.dataset.name).stem, cell.name, f"seed{cell.seed}")
        return known.get(records.digest_of_settings(settings)) or folder / records.name_of(settings, *words)

    def work(
        self,
        progress: Progress | None = None,
        report: Callable[[Place, str | None], object] = lambda place, problem: None,
        share: tuple[int, int] = (0, 1),
    ) -> dict[str, str]:
        """Trains and measures all cells, or what is missing of them.

        Args:
            progress: Called as `(what, share)`.
            report: Called with every cell that is finished, and why it failed or None.
            share: Which of how many processes that do the same this is: they begin at different cells, so that they
                meet late.

        Returns:
            Why cells failed, by name and seed. A cell whose training meets numbers that are not finite is not trained
            again by a later call; one that ends in another error is.
        """
        told, failures, held, counted = Told(progress, self._cost()), {}, [], set[str]()

        def attempt(place: Place, wait: bool) -> None:
            try:
                problem = self._complete(place, told, wait, place.label in counted)
            except Exception as error:
                if isinstance(error, records.RunHeld) and not wait:
                    held.append(place)
                    return
                problem = f"{type(error).__name__}: {error}"
                logging.getLogger(__name__).error("%s", place.label, exc_info=True)
            if problem is not None:
                failures[place.label] = problem
            report(place, problem)

        for pack in self._packs(*share):
            counted |= self._train_together(pack, told)
            for place in pack:
                attempt(place, wait=False)
        for place in held:  # another process is at them: wait, and see that they were finished
            attempt(place, wait=True)
        return failures

    def unfinished(self) -> list[Place]:
        """Cells of which something is missing that could be computed."""
        return [place for place in self.places if not self._is_finished(place.path)]

    def _is_finished(self, path: Path) -> bool:
        if not is_trained(path):
            return _failure(path) is not None
        saved = records.Saved(path)
        return measurements.is_measured(self._key, saved, self._parts, self._asked, path / "measurements")

    def _cost(self) -> float:
        measuring = sum(measurement.cost(self._parts.dataset) for measurement in self._asked)
        return sum(place.cell.cost() + measuring for place in self.places)

    def _packs(self, index: int, count: int) -> list[list[Place]]:
        packs = [[place] for place in self.places] if self._pack == "none" else grouped(self.places, count)
        first = index * len(packs) // count
        return packs[first:] + packs[:first]

    def _train_together(self, pack: Sequence[Place], told: Told) -> set[str]:
        """Trains what is missing of a pack in one program if that pays; says whose training was told."""
        missing = [place for place in pack if not is_trained(place.path) and not _failure(place.path)]
        try:
            way = way_of(self._pack, missing, self._parts, self._execution, self._folder)
            if way == "alone":
                return set()
            trained = train_pack(missing, self._parts, self._execution, way, self._teller(told))
        except Exception:  # each is tried by itself, and told why it failed
            logging.getLogger(__name__).warning("%d cells from %s on", len(missing), missing[0].label, exc_info=True)
            return set()
        return {place.label for place, _ in trained}

    def _teller(self, told: Told) -> Callable[[Place], None]:
        share = self._execution.log_every
        return lambda place: told.of(place.label)("train", place.cell.cost() * share / place.cell.num_steps)

    def _complete(self, place: Place, told: Told, wait: bool, is_counted: bool) -> str | None:
        cell, path = place
        if wait:
            with records.hold(path, wait=True):
                pass
        if not is_trained(path):
            problem = _failure(path) or self._train(place, told)
            if problem is not None:
                return problem
        elif not is_counted:
            told.of(place.label)("train", cell.cost())
        with records.hold(path) as folder:
            self._measure(folder, told.of(place.label))
        return None

    def _train(self, place: Place, told: Told) -> str | None:
        ((_, result),) = train_pack([place], self._parts, self._execution, "alone", self._teller(told))
        return str(result) if isinstance(result, NonFiniteLoss) else None

    def _measure(self, folder: Path, advance: Callable[[str, float], object]) -> "xarray.Dataset":
        saved = records.Saved(folder)
        return measurements.measure_one(self._key, saved, self._parts, self._asked, folder / "measurements", advance)

    def answers(self) -> "xarray.Dataset":
        """What was measured of all cells that are finished, with axes `system` and `seed`.

        Raises:
            FileNotFoundError: If none is.
        """
        found = {
            (place.cell.name, place.cell.seed): self._measure(place.path, lambda name, done: None)
            for place in self.places
            if is_trained(place.path) and self._is_finished(place.path)
        }
        if not found:
            raise FileNotFoundError("no cell of this sweep is finished")
        return records.combined(found)


def _failure(path: Path) -> str | None:
    """Why a training can't succeed, if it was tried."""
    failure = path / records.FAILURE
    return str(records.read_json(failure)["problem"]) if failure.exists() else None


def run(
    key: KeyArray,
    cells: Sequence[Cell],
    dataset: Dataset,
    measurements: Sequence[Measurement],
    folder: Path | str = "runs",
    progress: Progress | None = None,
    pack: str = "auto",
) -> "xarray.Dataset":
    """Trains and measures cells, or what is missing of them.

    Args:
        key: A typed key of all measurements.
        cells: What is trained; see `grid`.
        dataset: On what.
        measurements: What is measured of every trained network.
        folder: Where the run directories are. A cell that is there is not computed again, whoever computed it.
        progress: Called as `(what, share)`.
        pack: How cells that share a program are trained together, see `Sweep`.

    Returns:
        The answers, as `measurements.measure` returns them. Cells that failed are missing, with a warning that says
        why.

    Raises:
        ValueError: If a cell or a measurement does not suit the dataset, before any compute.

    Examples:
        >>> import jax, tempfile
        >>> from lipjax import datasets, measurements, networks, sweep, systems, training
        >>> rows = {name: systems.ROWS[name](networks.mlp(2, widths=(8,))) for name in ("V", "L")}
        >>> cells = sweep.grid(rows, training.sgd(0.1), num_steps=10, batch_size=8, seeds=(0, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asked = [measurements.clean()]
        ...     answers = run(jax.random.key(0), cells, datasets.load("toy"), asked, folder)
        >>> dict(answers.correct.sizes)["system"], dict(answers.correct.sizes)["seed"]
        (2, 2)
    """
    sweep = Sweep(key, cells, dataset, measurements, folder, pack=pack)
    for label, problem in sweep.work(progress).items():
        warnings.warn(f"{label} failed: {problem}", stacklevel=2)
    return sweep.answers()
