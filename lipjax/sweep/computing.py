"""Trains and measures what is missing of a sweep, in this process; several may do so over one folder at once."""

import functools
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax

from lipjax import evaluation, measurements, records, training
from lipjax.measurements import Measurement, Parts, Progress, Told
from lipjax.sweep.cells import Cell
from lipjax.training import Execution, NonFiniteLoss
from lipjax.types import Dataset, KeyArray
from lipjax.values import Json

if TYPE_CHECKING:
    import xarray


class Place(NamedTuple):
    """A cell and its run directory."""

    cell: Cell
    path: Path

    @property
    def label(self) -> str:
        """What progress and failures call it."""
        return f"{self.cell.name}, seed {self.cell.seed}"


class Sweep:
    """Cells, what is asked of them, and where it is kept.

    Args:
        key: The key of all measurements: every network meets the same noise.
        cells: What is trained.
        dataset: On what.
        asked: What is measured of every trained network.
        folder: Where the run directories are. A run of the same settings in it is taken, whoever trained it.
        execution: How every training is run.

    Raises:
        ValueError: If two cells have one name and seed, or a cell or a measurement does not suit the dataset.
    """

    def __init__(
        self,
        key: KeyArray,
        cells: Sequence[Cell],
        dataset: Dataset,
        asked: Sequence[Measurement],
        folder: Path | str = "runs",
        execution: Execution = Execution(progress=False),  # noqa: B008 - immutable
    ):
        self._key, self._parts, self._asked, self._execution = key, Parts(dataset), tuple(asked), execution
        for cell in cells:
            cell.refuse(dataset)
        for measurement in asked:
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
        first: int = 0,
    ) -> dict[str, str]:
        """Trains and measures all cells, or what is missing of them.

        Args:
            progress: Called as `(what, share)`.
            report: Called with every cell that is finished, and why it failed or None.
            first: The cell to begin with: processes that begin at different cells meet late.

        Returns:
            Why cells failed, by name and seed. A cell whose training meets numbers that are not finite is not trained
            again by a later call; one that ends in another error is.
        """
        told, failures, held = Told(progress, self._cost()), {}, []

        def attempt(place: Place, wait: bool) -> None:
            try:
                problem = self._complete(place, told, wait)
            except Exception as error:
                if isinstance(error, records.RunHeld) and not wait:
                    held.append(place)
                    return
                problem = f"{type(error).__name__}: {error}"
                logging.getLogger(__name__).error("%s", place.label, exc_info=True)
            if problem is not None:
                failures[place.label] = problem
            report(place, problem)

        for place in self.places[first:] + self.places[:first]:
            attempt(place, wait=False)
        for place in held:  # another process is at them: wait, and see that they were finished
            attempt(place, wait=True)
        return failures

    def unfinished(self) -> list[Place]:
        """Cells of which something is missing that could be computed."""
        return [place for place in self.places if not self._is_finished(place.path)]

    def _is_finished(self, path: Path) -> bool:
        if not is_trained(path):
            return (path / records.FAILURE).exists()
        saved = records.Saved(path)
        return measurements.is_measured(self._key, saved, self._parts, self._asked, path / "measurements")

    def _cost(self) -> float:
        measuring = sum(measurement.cost(self._parts.dataset) for measurement in self._asked)
        return sum(place.cell.cost() + measuring for place in self.places)

    def _complete(self, place: Place, told: Told, wait: bool) -> str | None:
        cell, path = place
        advance = told.of(place.label)
        if wait:
            with records.hold(path, wait=True):
                pass
        if not is_trained(path):
            problem = self._train(place, functools.partial(advance, "train"))
            if problem is not None:
                return problem
        else:
            advance("train", cell.cost())
        with records.hold(path) as folder:
            self._measure(folder, advance)
        return None

    def _train(self, place: Place, advance: Callable[[float], None]) -> str | None:
        failure, share = (
            place.path / records.FAILURE,
            place.cell.cost() * self._execution.log_every / place.cell.num_steps,
        )
        execution = self._execution._replace(log=lambda step, metrics: advance(share))
        if failure.exists():
            return str(records.read_json(failure)["problem"])
        try:
            train(place.cell, self._parts, place.path, execution)
        except NonFiniteLoss as error:
            records.write_json(failure, {"problem": str(error)})
            return str(error)
        return None

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


def is_trained(path: Path) -> bool:
    """Whether a directory has a finished training."""
    return (path / "results.json").exists() and (path / "model.json").exists()


def train(cell: Cell, parts: Parts, run_dir: Path, execution: Execution) -> Json:
    """Trains a cell in a run directory; continues a run that was stopped.

    Returns:
        What results.json has.

    Raises:
        RunRefused: If the directory is in use or belongs to other settings.
        NonFiniteLoss: If training diverges.
    """
    dataset = parts.dataset
    with records.open_run(run_dir, cell.settings(parts)) as held:
        records.write_json(held.path / "flags.json", {"system": cell.name, "seed": cell.seed, **cell.words})
        model = training.fit(
            jax.random.key(cell.seed),
            cell.system,
            dataset,
            cell.optimizer,
            num_steps=cell.num_steps,
            batch_size=cell.batch_size,
            augment=cell.augment,
            execution=execution._replace(run=held),
        )
        records.save_model(held.path, model, dataset.input_shape)
        results = {
            "config": dict(cell.words),
            "environment": records.environment(),
            "num_params": sum(leaf.size for leaf in jax.tree.leaves(model.variables.params)),
            "train_accuracy": evaluation.accuracy(model, dataset.train),
            "test_accuracy": evaluation.accuracy(model, dataset.test),
        }
        held.finish(results)
        return results | {"run_dir": str(held.path)}


def run(
    key: KeyArray,
    cells: Sequence[Cell],
    dataset: Dataset,
    measurements: Sequence[Measurement],
    folder: Path | str = "runs",
    progress: Progress | None = None,
) -> "xarray.Dataset":
    """Trains and measures cells, or what is missing of them.

    Args:
        key: A typed key of all measurements.
        cells: What is trained; see `grid`.
        dataset: On what.
        measurements: What is measured of every trained network.
        folder: Where the run directories are. A cell that is there is not computed again, whoever computed it.
        progress: Called as `(what, share)`.

    Returns:
        The answers, as `measurements.measure` returns them. Cells that failed are missing, with a warning that says
        why.

    Raises:
        ValueError: If a cell or a measurement does not suit the dataset, before any compute.

    Examples:
        >>> import tempfile
        >>> from lipjax import datasets, measurements, networks, sweep, systems, training
        >>> rows = {name: systems.ROWS[name](networks.mlp(2, widths=(8,))) for name in ("V", "L")}
        >>> cells = sweep.grid(rows, training.sgd(0.1), num_steps=10, batch_size=8, seeds=(0, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asked = [measurements.clean()]
        ...     answers = run(jax.random.key(0), cells, datasets.load("toy"), asked, folder)
        >>> dict(answers.correct.sizes)["system"], dict(answers.correct.sizes)["seed"]
        (2, 2)
    """
    sweep = Sweep(key, cells, dataset, measurements, folder)
    for label, problem in sweep.work(progress).items():
        warnings.warn(f"{label} failed: {problem}", stacklevel=2)
    return sweep.answers()
