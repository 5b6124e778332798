"""How do runs compare? Means with intervals over seeds, and whether differences from a baseline can be chance.

    python -m experiments.compare runs/*
    python -m experiments.compare runs/* --baseline=V --format=latex

One row per system, of all that was measured. The p-values are of Wilcoxon's signed-rank test over examples, paired: the
share of seeds for which an example is classified right, against that of the baseline, on clean images and under all
attacks. They say whether other test examples could reverse the difference, and nothing of other seeds: that is what the
intervals are for.
"""

import dataclasses
import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats

from lipjax import measurements, records, report
from lipjax.values import Json

from . import cli, process, sweep
from .language import flag_errors

if TYPE_CHECKING:
    import xarray

FORMATS = ("text", "markdown", "latex", "csv")
PAIRED = {"clean": "correct", "attacked": "withstood"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs, and how they are shown."""

    runs: tuple[str, ...] = cli.flag(("runs/*",), "Run directories, or patterns of them.", positional=True)
    baseline: str = cli.flag("", "The system that others are tested against; default the first one.")
    format: str = cli.flag("text", "How the table is written.", legal=FORMATS)


def p_values(answers: "xarray.Dataset", baseline: str) -> dict[str, dict[str, float]]:
    """Of every system by what was measured; NaN where two agree on all examples."""
    found: dict[str, dict[str, float]] = {str(name): {} for name in answers.system.values}
    for title, variable in PAIRED.items():
        if variable not in answers:
            continue
        right = answers[variable].astype(float)
        right = (right.min("attack", skipna=False) if "attack" in right.dims else right).mean("seed")
        for name, own in found.items():
            if name != baseline:
                own[title] = _signed_rank(right.sel(system=name).values, right.sel(system=baseline).values)
    return found


def _signed_rank(first: np.ndarray, second: np.ndarray) -> float:
    differences = (first - second)[np.isfinite(first - second)]
    if not differences.any():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ties: the normal approximation, which many examples allow
        return float(scipy.stats.wilcoxon(differences).pvalue)


def written(rows: list[Json], form: str) -> str:
    """A table as text, Markdown, LaTeX (booktabs) or CSV."""
    import pandas

    if form == "text":
        return report.text_table(rows)
    frame = pandas.DataFrame(rows)
    if form == "markdown":
        lines = [list(frame), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
        return "\n".join(f"| {' | '.join(str(cell).replace('|', r'|') for cell in line)} |" for line in lines)
    return frame.to_csv(index=False) if form == "csv" else frame.to_latex(index=False, escape=True)


def run(config: Config) -> list[Json]:
    """Prints the table."""
    with flag_errors("runs"):
        answers = records.open(*config.runs)
    names = [str(name) for name in answers.system.values]
    baseline = config.baseline or names[0]
    if baseline not in names:
        raise cli.UsageError(f"--baseline={baseline} is none of the systems {', '.join(names)}")
    rows = sweep.table(measurements.summary(answers))
    tested = p_values(answers, baseline)
    for row in rows:
        for title in PAIRED:
            value = tested[row["system"]].get(title)
            row[f"p, {title}"] = "" if value is None or np.isnan(value) else f"{value:.2g}"
    print(written(rows, config.format))
    return rows


if __name__ == "__main__":
    process.main(Config, run, __doc__)
