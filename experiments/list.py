"""Which runs are there? One row per training: when, what, whether it is finished, how accurate, what was measured.

python -m experiments.list
python -m experiments.list runs/* --system=PGD --state=finished --sort=test_accuracy
"""

import dataclasses
import glob
import operator

from lipjax import records, report
from lipjax.records import Listed
from lipjax.values import Json

from . import cli, process

COLUMNS = Listed._fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs, in which order."""

    runs: tuple[str, ...] = cli.flag(("runs/*",), "Run directories, or patterns of them.", positional=True)
    system: str = cli.flag("", "Only runs whose system has this text.")
    dataset: str = cli.flag("", "Only runs whose dataset has this text.")
    state: str = cli.flag("", "Only runs of this state.", legal=("", "finished", "running", "failed", "stopped"))
    sort: str = cli.flag("date", "Column by which rows are sorted.", legal=COLUMNS)
    descending: bool = cli.flag(False, "Largest first.")
    csv: str = cli.flag("", "Write the table to this file, too.")


def chosen(config: Config) -> list[Listed]:
    """The runs that the flags choose, sorted."""
    paths = [path for pattern in config.runs for path in sorted(glob.glob(pattern))]
    wanted = [
        run
        for run in records.listed(paths)
        if config.system in run.system and config.dataset in run.dataset and config.state in ("", run.state)
    ]

    key = operator.attrgetter(config.sort)
    known = sorted((run for run in wanted if key(run) is not None), key=key, reverse=config.descending)
    return [*known, *(run for run in wanted if key(run) is None)]


def row(run: Listed) -> Json:
    """A run as text."""
    accuracies = {f"{part} %": _share(getattr(run, f"{part}_accuracy")) for part in ("train", "test")}
    return {
        "run": run.name,
        "date": run.date[:16].replace("T", " "),
        "system": run.system,
        "dataset": run.dataset,
        "seed": "" if run.seed is None else str(run.seed),
        "state": run.state,
        **accuracies,
        "measured": " ".join(run.measured),
    }


def _share(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy:.1f}"


def run(config: Config) -> list[Listed]:
    """Prints the table."""
    runs = chosen(config)
    if not runs:
        print(f"no run of this kind matches {', '.join(config.runs)}")
        return runs
    rows = [row(one) for one in runs]
    print(report.text_table(rows))
    if config.csv:
        report.write_csv(config.csv, rows)
    return runs


if __name__ == "__main__":
    process.main(Config, run, __doc__)
