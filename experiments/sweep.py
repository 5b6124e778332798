"""Trains and measures every combination of systems, settings and seeds; what is there already is not computed again.

    python -m experiments.sweep --system="V,P(beta=[1e-4,1e-3]),PGD(radius=[2/255,8/255])" --seed=0:4
    python -m experiments.sweep --cells=my_package.cells:cells --corruptions=benchmark

Every training flag takes several values: commas between them, or a range of whole numbers such as 0:8; an option of a
system takes alternatives in square brackets. What is too long for flags is a function `module:name` that returns the
trainings as a list of mappings from flags to values, with `name` for what results call them.

Cells run in one process per core, each with one thread. The same command continues where it was stopped; so does any
other process that is given the same command meanwhile. Trainings lie in runs/, one directory each.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from experiments import cli, flags, language, measuring, train, workers
from experiments.language import flag_errors
from lipjax import values
from lipjax.sweep import Sweep
from lipjax.types import Dataset
from lipjax.values import Json

SWEPT = {field.name: field for field in dataclasses.fields(train.Config) if field.metadata["recorded"]}
"""Training flags, of which each takes several values here."""
for _name in ("dataset", "num_train", "num_test", "log_every", "checkpoint_every", "num_devices"):
    del SWEPT[_name]


def _several(field: dataclasses.Field) -> tuple[str, Any, Any]:
    kind = {"str": str, "int": int, "float": float}[str(getattr(field.type, "__name__", field.type))]
    return field.name, tuple[kind, ...], dataclasses.field(default=(field.default,), metadata=field.metadata)  # type: ignore[valid-type]


SweptFlags: Any = dataclasses.make_dataclass("SweptFlags", map(_several, SWEPT.values()), frozen=True, kw_only=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(flags.DataFlags, SweptFlags, measuring.RobustnessFlags, measuring.AlphaFlags, workers.WorkerFlags):
    """What is trained and measured."""

    cells: str = cli.flag("", "module:name of a function that returns the trainings, in place of the flags for them.")
    out_dir: str = cli.flag("", "Where the table goes; default runs/sweep-DIGEST of the flags.", recorded=False)


def trainings(config: Config) -> dict[tuple[str, int], train.Config]:
    """The trainings by the name of their configuration and their seed.

    Raises:
        UsageError: If a flag can't be used.
    """
    given = _from_function(config.cells) if config.cells else _from_flags(config)
    legal = {field.name for field in dataclasses.fields(train.Config)}
    shared = {name: getattr(config, name) for name in legal & set(vars(config)) - set(SWEPT)} | {"out_dir": ""}
    found: dict[tuple[str, int], train.Config] = {}
    for name, own in given:
        if unknown := sorted(own.keys() - legal):
            raise cli.UsageError(f"--cells: {name} has no {', '.join(unknown)}, only {', '.join(sorted(legal))}")
        found[name, own.get("seed", 0)] = train.Config(**shared | own)
    return found


def _from_flags(config: Config) -> list[tuple[str, Json]]:
    axes = {name: tuple(getattr(config, name)) for name in SWEPT}
    axes["system"] = tuple(text for system in config.system for text in language.alternatives(system))
    axes = {"seed": axes.pop("seed")} | axes
    varied = [name for name, options in axes.items() if len(options) > 1 and name not in ("seed", "system")]
    chosen = [dict(zip(axes, options, strict=True)) for options in itertools.product(*axes.values())]
    return [(", ".join([one["system"], *(f"{name}={one[name]}" for name in varied)]), one) for one in chosen]


def _from_function(name: str) -> list[tuple[str, Json]]:
    with flag_errors("cells"):
        listed = values.resolve(name, importing=True)()
    return [(cell.get("name", cell.get("system", "V")), _without(cell, "name")) for cell in map(dict, listed)]


def _without(mapping: Mapping[str, Any], name: str) -> Json:
    return {key: value for key, value in mapping.items() if key != name}


def prepare(config: Config, dataset: Dataset) -> Sweep:
    """The sweep that the flags ask for; all that can be wrong with them is found here, before any compute.

    Raises:
        UsageError: If a flag can't be used.
    """
    asked = [*measuring.robustness(config, dataset, config.data_dir), measuring.alpha(config, dataset)]
    chosen = trainings(config)
    cells = [train.prepare(one, dataset)._replace(name=name) for (name, _), one in chosen.items()]
    execution = train.execution(next(iter(chosen.values())))._replace(progress=False)
    with flag_errors("system"):
        return Sweep(jax.random.key(0), cells, dataset, asked, Path(config.store).expanduser(), execution)


def run(config: Config) -> Json:
    """Trains and measures what is missing, and writes the table."""
    dataset = flags.dataset(config)
    sweep = prepare(config, dataset)
    answers, failures = workers.completed(sweep, config, "sweep")
    return {"answers": answers, "failures": failures}


if __name__ == "__main__":
    cli.run_main(Config, run, __doc__)
