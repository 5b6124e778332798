"""Trains and measures every combination of systems, settings and seeds; what is there already is not computed again.

    python -m experiments.sweep --system="V,P(beta=[1e-4,1e-3]),PGD(radius=[2/255,8/255])" --seed=0:4
    python -m experiments.sweep --cells=my_package.cells:cells --corruptions=benchmark

Every training flag takes several values: commas between them, or 0:8 for the whole numbers from 0 to 7. An option of a
system takes alternatives in square brackets, and may be a training flag: `V(learning_rate=[1e-3,2e-3])`. What is too
long for flags is a function, `module:name`, that returns the trainings as a list of mappings from training flags to
values, each with `name` for what results call it.

Cells are computed by one process per core, each with one thread. A cell that fails stops nobody and is told at the end.
The same command continues where it was stopped, and may be given on other machines that share the folder meanwhile.
The directory of the sweep then has `networks.csv`, one row per network, and `page.html` for a browser; the terminal
shows one row per configuration.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import scipy.stats

from lipjax import measurements, records, report, values
from lipjax.measurements import Measurement
from lipjax.sweep import Sweep
from lipjax.types import Dataset
from lipjax.values import Json

from . import cli, flags, language, measuring, process, train, verdict, workers
from . import report as page
from .language import flag_errors

if TYPE_CHECKING:
    import xarray

TRAINING = {field.name: field for field in dataclasses.fields(train.Config)}
EXECUTION = ("log_every", "checkpoint_every", "num_devices", "log")
ONCE = {field.name for field in dataclasses.fields(flags.DataFlags)} | set(EXECUTION)
"""Training flags that are the same for all."""
SWEPT = [name for name, field in TRAINING.items() if field.metadata["recorded"] and name not in ONCE]


def _several(name: str) -> tuple[str, Any, Any]:
    field: Any = TRAINING[name]
    return name, tuple[field.type, ...], dataclasses.field(default=(field.default,), metadata=field.metadata)


def _once(name: str) -> tuple[str, Any, Any]:
    field: Any = TRAINING[name]
    metadata = field.metadata | {"recorded": False}
    return name, field.type, dataclasses.field(default=field.default, metadata=metadata)


def default(name: str, *values: Any) -> Any:
    """A training flag with another default."""
    return dataclasses.field(default=values, metadata=TRAINING[name].metadata)


SweptFlags: Any = dataclasses.make_dataclass("SweptFlags", map(_several, SWEPT), frozen=True, kw_only=True)
SweptFlags.__doc__ = "How each is trained: alternatives with commas between them."
ExecutionFlags: Any = dataclasses.make_dataclass("ExecutionFlags", map(_once, EXECUTION), frozen=True, kw_only=True)
ExecutionFlags.__doc__ = "How all are run, which decides nothing about them."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    flags.DataFlags,
    SweptFlags,
    ExecutionFlags,
    measuring.RobustnessFlags,
    measuring.AlphaFlags,
    workers.WorkerFlags,
):
    """What is trained and measured."""

    cells: str = cli.flag("", "module:name of a function that returns the trainings, in place of the flags for them.")
    measuring_seed: int = cli.flag(0, "Seed of corruptions, attacks and perturbations.", minimum=0)
    out_dir: str = cli.flag("", "Where results go; default a place in the store.", recorded=False)


def trainings(config: Config) -> list[tuple[str, train.Config]]:
    """The trainings, each with the name of its configuration; one configuration has several seeds.

    Raises:
        UsageError: If a flag can't be used.
    """
    shared = {name: getattr(config, name) for name in ONCE & set(vars(config))} | {"out_dir": "", "store": config.store}
    given = _from_function(config.cells) if config.cells else _from_flags(config)
    found = []
    for name, own in given:
        if unknown := sorted(own.keys() - TRAINING.keys()):
            raise cli.UsageError(f"--cells: {name} has no {', '.join(unknown)}, only {', '.join(sorted(TRAINING))}")
        found.append((name, cli.checked(train.Config(**shared | own))))
    if not found:
        raise cli.UsageError("nothing to train: each of --system, --network and the other swept flags needs a value")
    return found


def _from_flags(config: Config) -> list[tuple[str, Json]]:
    axes = {name: getattr(config, name) for name in SWEPT if name != "system"}
    varied = [name for name, options in axes.items() if len(options) > 1 and name != "seed"]
    combinations = [dict(zip(axes, options, strict=True)) for options in itertools.product(*axes.values())]
    systems = _systems(config.system).items()
    return [
        (", ".join([name, *(f"{axis}={one[axis]}" for axis in varied)]), one | own)
        for (name, own), one in itertools.product(systems, combinations)
    ]


def _systems(texts: tuple[str, ...]) -> dict[str, Json]:
    """Training flags of every system by its name, which has the options that vary; all of them where names meet."""
    named = [(name, text) for given in texts for name, text in language.alternatives(given).items()]
    names = [name for name, _ in named]
    found = {name if names.count(name) == 1 else text: text for name, text in named}
    if len(found) < len(named):
        raise cli.UsageError(f"--system has one twice: {', '.join(text for _, text in named)}")
    return {name: _own_flags(text) for name, text in found.items()}


def _is_flag(system: str, option: str) -> bool:
    return option in SWEPT and not flags.has_option(system, option)


def _own_flags(text: str) -> Json:
    with flag_errors("system"):
        system, own = language.without(text, _is_flag)
    return {"system": system} | own


def _from_function(name: str) -> list[tuple[str, Json]]:
    with flag_errors("cells"):
        listed = [dict(cell) for cell in values.resolve(name, importing=True)()]
    return [(str(cell.pop("name", cell.get("system"))), cell) for cell in listed]


def prepare(config: Config, dataset: Dataset, asked: list[Measurement]) -> Sweep:
    """The sweep that the flags ask for; all that can be wrong with its trainings is found here, before any compute.

    Raises:
        UsageError: If a flag can't be used.
    """
    chosen = trainings(config)
    cells = [train.prepare(one, dataset)._replace(name=name) for name, one in chosen]
    execution = train.execution(chosen[0][1])._replace(progress=False)
    with flag_errors("system"):
        key = jax.random.key(config.measuring_seed)
        return Sweep(key, cells, dataset, asked, Path(config.store).expanduser(), execution, config.pack)


def measured(config: Config, dataset: Dataset) -> list[Measurement]:
    """What is asked of every network."""
    return [*measuring.robustness(config, dataset, config.data_dir), measuring.alpha(config, dataset)]


SHARES = {
    "clean %": "clean_accuracy",
    "corrupted %": "mean_corruption_accuracy",
    "relative %": "relative_performance",
    "attacked %": "attacked_accuracy",
}


def table(figures: "xarray.Dataset") -> list[Json]:
    """One row per configuration: means over its seeds, with the half-width of their 95 % interval from two seeds on.

    Args:
        figures: What `measurements.summary` says.
    """
    if "alpha_max" in figures:
        figures = verdict.of_one_constant(figures)
    return [_row(str(name), figures.sel(system=name)) for name in figures.system.values]


def _row(name: str, one: "xarray.Dataset") -> Json:
    shares = {title: one[name] for title, name in SHARES.items() if name in one}
    if "certified_accuracy" in one:
        shares |= {
            f"certified({at:.3g}) %": one.certified_accuracy.sel(certified_at=at) for at in one.certified_at.values
        }
    row: Json = {"system": name} | {column: _interval(100 * share, ".1f") for column, share in shares.items()}
    return row | {column: _interval(slope, ".4g") for column, slope in _slopes(one).items()}


def _slopes(one: "xarray.Dataset") -> "dict[str, xarray.DataArray]":
    if "alpha_max" not in one:
        return {}
    first, last = one.radius.values[[0, -1]]
    return {
        f"alpha({first:g})": one.alpha_max.isel(radius=0),
        f"mean alpha({first:g})": one.alpha_mean.isel(radius=0),
        f"alpha({last:g})": one.alpha_max.isel(radius=-1),
        f"upper({first:g})": one.alpha_upper_max.isel(radius=0),
    }


def _interval(values: "xarray.DataArray", form: str) -> str:
    known = values.values[np.isfinite(values.values)]
    if len(known) < 2:
        return format(known.mean(), form) if len(known) else ""
    half = scipy.stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return f"{known.mean():{form}} ± {half:.2g}"


def run(config: Config) -> Json:
    """Trains and measures what is missing, and writes the table."""
    dataset = flags.dataset(config)
    sweep = prepare(config, dataset, measured(config, dataset))
    if workers.is_worker(config):
        return workers.work(sweep, config)
    if workers.launcher(config):
        return workers.submit(sweep, config, "sweep")
    settings = cli.settings(config)
    with records.open_run(config.out_dir or Path(config.store) / records.name_of(settings, "sweep"), settings) as held:
        answers, failures = workers.completed(sweep, config, "sweep")
        figures = measurements.summary(answers, certified_at=config.certified_radii)
        rows = table(figures)
        found = {"settings": settings, "environment": records.environment(), "table": rows, "failures": failures}
        held.finish(found)
        with records.replacing(held.path / "networks.csv") as partial:
            measurements.table(figures).to_csv(partial, index=False)
        places = [(place.cell.name, place.cell.seed, place.path) for place in sweep.places]
        drawn = report.frames.joined(figures, answers)
        commands = [cli.command_line("sweep", config)]
        page.write(held.path / "page.html", drawn, places, about=config.dataset, commands=commands)
    print(report.text_table(rows))
    print(f"\nnetworks.csv and page.html: {held.path}")
    workers.refuse(failures)
    return found


if __name__ == "__main__":
    process.main(Config, run, __doc__)
