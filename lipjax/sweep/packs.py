"""Packs: cells that share a program are trained by one compiled call, each in a run directory of its own.

Cells share a program if they differ in seeds and in numbers only: weights, learning rates, radii. How they are trained
together is tried out on the device at hand, once for a kind of cells, and written to `packs.json` in the store, so that
whoever continues trains in the same way.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from lipjax import evaluation, parallel, records, training
from lipjax.measurements import Parts
from lipjax.sweep.cells import Cell
from lipjax.training import Execution, Log, NonFiniteLoss, Trainee, Way
from lipjax.types import Model
from lipjax.values import Json, to_json

PACKS: dict[str, Way | None] = {"auto": None, "vmap": "vmap", "map": "map", "none": "alone"}
"""What may be asked for, and how cells are trained then: "auto" tries it out."""
RECORD = "packs.json"

_PATIENCE = 10
"""Another way is tried where what is to be trained takes so many times as long as one way took to compile."""

_TRIED = 4
"""Dispatches of which a trial consists; the first one compiles."""


class Place(NamedTuple):
    """A cell and its run directory.

    Examples:
        >>> from lipjax import networks
        >>> from lipjax.types import Method, System
        >>> cell = Cell("V", System(networks.mlp(10), Method()), training.adam(), num_steps=300, batch_size=100, seed=4)
        >>> Place(cell, Path("runs/mnist-V-seed4")).label
        'V, seed 4'
    """

    cell: Cell
    path: Path

    @property
    def label(self) -> str:
        """What progress and failures call it."""
        return f"{self.cell.name}, seed {self.cell.seed}"


def is_trained(path: Path) -> bool:
    """Whether a directory has a finished training.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("model.json", "results.json"):
        ...         before = is_trained(Path(folder))
        ...         records.write_json(Path(folder) / name, {})
        ...     before, is_trained(Path(folder))
        (False, True)
    """
    return (path / "results.json").exists() and (path / "model.json").exists()


def grouped(places: Sequence[Place], num_parts: int) -> list[list[Place]]:
    """Places whose cells share a program, in the order of the first of each, in at least so many parts."""
    groups: dict[Any, list[Place]] = {}
    for place in places:
        groups.setdefault((place.cell.structure(), place.cell.num_steps), []).append(place)
    return [part for group in groups.values() for part in _parts(group, num_parts)]


def _parts(group: list[Place], num_parts: int) -> list[list[Place]]:
    size = math.ceil(len(group) / num_parts)
    return [group[first : first + size] for first in range(0, len(group), size)]


def train(cell: Cell, parts: Parts, run_dir: Path, execution: Execution) -> Json:
    """Trains a cell in a run directory; continues a run that was stopped.

    Args:
        cell: What is trained.
        parts: The dataset.
        run_dir: The run directory.
        execution: How it is run.

    Returns:
        What results.json has.

    Raises:
        RunRefused: If the directory is in use or belongs to other settings.
        NonFiniteLoss: If training diverges.

    Examples:
        >>> import tempfile
        >>> from lipjax import datasets, networks
        >>> from lipjax.types import Method, System
        >>> cell = Cell("V", System(networks.mlp(2, widths=()), Method()), training.sgd(0.1), num_steps=1, batch_size=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = train(cell, Parts(datasets.load("toy")), Path(folder), Execution(progress=False))
        >>> result["num_params"], result["together"]
        (4, {'way': 'alone', 'networks': 1})
    """
    ((_, result),) = train_pack([Place(cell, run_dir)], parts, execution, "alone")
    if isinstance(result, NonFiniteLoss):
        raise result
    return result


def train_pack(
    places: Sequence[Place],
    parts: Parts,
    execution: Execution,
    way: Way,
    log: Callable[[Place], object] = lambda place: None,
) -> list[tuple[Place, Json | NonFiniteLoss]]:
    """Trains cells that share a program, each in its run directory; continues those that were stopped.

    Args:
        places: Cells and their directories; of several, those that another process holds are left to it.
        parts: The dataset.
        execution: How they are run.
        way: How they are trained together, see `training.fit_together`.
        log: Called with a place whenever a line of its metrics was written.

    Returns:
        What results.json has of each that was trained, or what stopped it, which `failed.json` then has.

    Raises:
        RunRefused: If a directory is in use or belongs to other settings.

    Examples:
        >>> import tempfile
        >>> from lipjax import datasets, networks
        >>> from lipjax.types import Method, System
        >>> cell = Cell("V", System(networks.mlp(2, widths=()), Method()), training.sgd(0.1), num_steps=1, batch_size=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     places = [Place(cell._replace(seed=seed), Path(folder) / str(seed)) for seed in (0, 1)]
        ...     trained = train_pack(places, Parts(datasets.load("toy")), Execution(progress=False), "map")
        ...     [(place.label, result["together"]) for place, result in trained]
        [('V, seed 0', {'way': 'map', 'networks': 2}), ('V, seed 1', {'way': 'map', 'networks': 2})]
    """
    with contextlib.ExitStack() as stack:
        held = list(_held(places, parts, stack, execution, log))
        if not held:
            return []
        first = held[0].place.cell
        trained = training.fit_together(
            [_trainee(one.place.cell, run=one.run, log=one.tell) for one in held],
            parts.dataset,
            num_steps=first.num_steps,
            batch_size=first.batch_size,
            way=way,
            execution=execution,
        )
        together = {"way": way, "networks": len(held)}
        return [(one.place, _finish(one, model, parts, together)) for one, model in zip(held, trained, strict=True)]


class _Held(NamedTuple):
    place: Place
    run: records.Run
    logs: Sequence[Log]

    def tell(self, step: int, metrics: Mapping[str, float]) -> None:
        for log in self.logs:
            log(step, metrics)


def _held(
    places: Sequence[Place],
    parts: Parts,
    stack: contextlib.ExitStack,
    execution: Execution,
    log: Callable[[Place], object],
) -> Iterator[_Held]:
    for place in places:
        try:
            run = stack.enter_context(_opened(place, parts))
        except records.RunHeld:
            if len(places) == 1:
                raise
            continue
        settings = {"system": place.cell.name, "seed": place.cell.seed, **place.cell.words}
        trackers = execution.trackers if parallel.is_main_process() else ()
        shown = [stack.enter_context(tracker.start(place.path, settings)) for tracker in trackers]
        yield _Held(place, run, [lambda *_, place=place: log(place), *shown])


@contextlib.contextmanager
def _opened(place: Place, parts: Parts) -> Iterator[records.Run]:
    cell, path = place
    with records.open_run(path, cell.settings(parts)) as held:
        records.write_json(held.path / "flags.json", {"system": cell.name, "seed": cell.seed, **cell.words})
        yield held


def _trainee(cell: Cell, **recorded: Any) -> Trainee:
    return Trainee(jax.random.key(cell.seed), cell.system, cell.optimizer, cell.augment, **recorded)


def _finish(held: _Held, model: Model | NonFiniteLoss, parts: Parts, together: Json) -> Json | NonFiniteLoss:
    cell, run = held.place.cell, held.run
    if isinstance(model, NonFiniteLoss):
        records.write_json(run.path / records.FAILURE, {"problem": str(model)})
        return model
    dataset = parts.dataset
    records.save_model(run.path, model, dataset.input_shape)
    accuracies = {
        "train_accuracy": evaluation.accuracy(model, dataset.train),
        "test_accuracy": evaluation.accuracy(model, dataset.test),
    }
    held.tell(cell.num_steps, accuracies)
    results = {
        "config": dict(cell.words),
        "environment": records.environment(),
        "together": together,
        "num_params": sum(leaf.size for leaf in jax.tree.leaves(model.variables.params)),
        **accuracies,
    }
    run.finish(results)
    return results | {"run_dir": str(run.path)}


def way_of(pack: str, places: Sequence[Place], parts: Parts, execution: Execution, store: Path) -> Way:
    """How cells that share a program are trained: as asked for, or as a trial on this device says.

    On CPU nothing is tried: packs gain nothing there, and separate trainings promise the same bits whatever else runs.

    Args:
        pack: What is asked for; "auto" tries what could pay.
        places: The cells.
        parts: The dataset.
        execution: How they are run.
        store: Folder of the record in which the trial is looked up, and kept.

    Returns:
        "vmap" or "map", or "alone" where they are trained one by one.
    """
    way = PACKS[pack]
    if len(places) < 2 or (way is None and jax.default_backend() == "cpu"):
        return "alone"
    if way is not None:
        return way
    record = _read(store / RECORD)
    kind = records.digest_of_settings(_kind(places[0].cell, parts))
    if kind not in record:
        tried = _tried([place.cell for place in places], parts, execution)
        record = _read(store / RECORD) | {kind: {"networks": len(places), "first": places[0].label} | tried}
        store.mkdir(parents=True, exist_ok=True)
        records.write_json(store / RECORD, record)
    return record[kind]["way"]


def _read(path: Path) -> Json:
    try:
        return dict(records.read_json(path))
    except (OSError, ValueError, TypeError):
        return {}


def _kind(cell: Cell, parts: Parts) -> Json:
    """What the trial depends on: all but numbers, on this kind of device."""
    deciding = jax.tree.map(lambda number: 0.0, (tuple(cell.system), cell.optimizer, cell.augment))
    shapes = {"batch_size": cell.batch_size, "inputs": parts.dataset.train.inputs.shape}
    return {"cells": to_json(deciding), "device": jax.devices()[0].device_kind, **shapes}


def _tried(cells: Sequence[Cell], parts: Parts, execution: Execution) -> Json:
    """Seconds that a step of all cells takes in each way, and the way that takes least."""
    begun, alone = _pace(cells[:1], "alone", parts, execution)
    seconds: dict[Way, float] = {"alone": len(cells) * alone}
    others: tuple[Way, ...] = ("vmap", "map")
    for way in others:
        if seconds["alone"] * cells[0].num_steps > _PATIENCE * begun:
            seconds[way] = _pace(cells, way, parts, execution)[1]
    return {
        "device": jax.devices()[0].device_kind,
        "seconds per step": seconds,
        "way": min(seconds, key=lambda way: seconds[way]),
    }


def _pace(cells: Sequence[Cell], way: Way, parts: Parts, execution: Execution) -> tuple[float, float]:
    """Seconds until the first dispatch was read, and seconds per step from then on."""
    times = [time.perf_counter()]
    first, count = cells[0], execution.dispatch
    training.fit_together(
        [_trainee(first, log=lambda step, metrics: times.append(time.perf_counter())), *map(_trainee, cells[1:])],
        parts.dataset,
        num_steps=_TRIED * count,
        batch_size=first.batch_size,
        way=way,
        execution=execution._replace(log_every=count, checkpoint_every=_TRIED * count),
    )
    if len(times) <= _TRIED:  # it met numbers that are not finite: nothing is known
        return math.inf, math.inf
    return times[1] - times[0], (times[-1] - times[1]) / (_TRIED - 1) / count
