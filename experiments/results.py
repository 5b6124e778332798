"""Writes docs/RESULTS.md from docs/results/, the tidy tables of the zoos, or checks every number in it.

    python -m experiments.results --zoo=embedded --runs=runs
    python -m experiments.results
    python -m experiments.results --check

The first command collects what is finished of a zoo into docs/results/embedded.csv, a row per network, and writes the
page; rows of networks that are not among these runs stay, so a zoo can be trained in parts, on several machines. The
second writes the page from the tables that are there; the third computes it again and fails where a character differs.
With --pairs=RUN, counts of experiments.compatibility become docs/results/pairs.csv.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from lipjax import checks, measurements, records, report

from . import cli, findings, process, results_figures, results_page, sweep, train, zoos

PLACE = ("name", *zoos.PLACE)
SETTINGS = tuple(sweep.SWEPT)
ZOOS = ("embedded", "cifar10")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What is collected, and what becomes of it."""

    zoo: str = cli.flag("", "The zoo that is collected; default none.", legal=("", *ZOOS))
    runs: str = cli.flag("runs", "Folder with its run directories.")
    pairs: str = cli.flag("", "Run directory of experiments.compatibility, to be collected; default none.")
    docs: str = cli.flag("docs", "Folder of the page and of its tables.")
    check: bool = cli.flag(False, "Compare the page with what the tables say, and write nothing.")


def _key(flags: Mapping[str, Any]) -> tuple:
    return tuple(flags[name] for name in SETTINGS)


def collected(runs: Path, zoo: str) -> pandas.DataFrame:
    """A row per finished network of a zoo, in the order of the design: where it stands in it, and its figures.

    Raises:
        UsageError: If none is finished.
    """
    found = {_key(flags): path.parent for path, flags in _flags(runs)}
    rows = []
    for cell in zoos.design(zoo):
        given = {flag: value for flag, value in cell.items() if flag not in PLACE}
        settings = vars(train.Config(**given))
        path = found.get(_key(settings))
        figures = None if path is None else _figures(path)
        if figures is not None:
            placed = {name: cell[name] for name in PLACE}
            rows.append(placed | {name: settings[name] for name in SETTINGS} | figures)
    if not rows:
        raise cli.UsageError(f"--runs: no network of the zoo {zoo} is finished in {runs}")
    return pandas.DataFrame(rows)


def extended(known: Path, found: pandas.DataFrame, zoo: str) -> pandas.DataFrame:
    """A table of a zoo with what was found now: rows of other networks stay, those of the same are replaced."""
    rows = pandas.concat([pandas.read_csv(known), found]) if known.exists() else found
    rows = rows.drop_duplicates(["name", "seed"], keep="last").set_index(["name", "seed"], drop=False)
    order = [(cell["name"], cell["seed"]) for cell in zoos.design(zoo)]
    return rows.loc[[place for place in order if place in rows.index]].reset_index(drop=True)


def _flags(runs: Path) -> list[tuple[Path, Any]]:
    return [(path, records.read_json(path)) for path in sorted(runs.glob("*/flags.json"))]


def _figures(path: Path) -> dict[str, Any] | None:
    """Figures of a run; none of one whose training failed, None of one that is not finished."""
    if (path / "failed.json").exists():
        return {}
    answers = records.answers_of(path)
    if answers is None:
        return None
    rows = measurements.table(measurements.summary(answers).expand_dims(system=[""], seed=[0]))
    finished = findings.alpha() in rows and "mean_corruption_accuracy" in rows
    return dict(sorted(rows.drop(columns=["system", "seed"]).iloc[0].items())) if finished else None


def counted(run: Path) -> pandas.DataFrame:
    """The counts of experiments.compatibility, a row per constant."""
    found = records.read_json(run / "compatibility.json")
    return pandas.DataFrame(found["thresholds"]).assign(all_pairs=found["different_class_pairs"])


def _write(path: Path, rows: pandas.DataFrame) -> None:
    with records.replacing(path) as partial:
        rows.to_csv(partial, index=False, float_format="%.6g")


def run(config: Config) -> None:
    """Collects, and writes or checks the page.

    Raises:
        UsageError: If there is nothing to collect.
        Incomplete: If the page differs from what the tables say.
    """
    tables = Path(config.docs) / "results"
    tables.mkdir(parents=True, exist_ok=True)
    if config.zoo:
        table = tables / f"{config.zoo}.csv"
        _write(table, extended(table, collected(checks.path(config.runs), config.zoo), config.zoo))
    if config.pairs:
        _write(tables / "pairs.csv", counted(Path(config.pairs)))
    known = {path.stem: pandas.read_csv(path) for path in sorted(tables.glob("*.csv"))}
    text = results_page.page(known)
    page = Path(config.docs) / "RESULTS.md"
    if not config.check:
        records.write_text(page, text)
        for name, figure in results_figures.figures(known).items():
            report.save(figure, tables / name, ["svg"])
        return
    written, computed = page.read_text().splitlines(), text.splitlines()
    if difference := "\n".join(difflib.unified_diff(written, computed, "written", "computed", lineterm="")):
        raise process.Incomplete(f"{page} differs from what {tables} says:\n{difference}")
    print(f"{page} is what {tables} says")


if __name__ == "__main__":
    process.main(Config, run, __doc__)
