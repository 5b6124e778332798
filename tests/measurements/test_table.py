"""The flat table of figures says what the figures say."""

import numpy as np
import xarray

from lipjax.measurements import summary, table

RNG = np.random.default_rng(0)
NAMES = ["slope of logits, l2 to l2", "slope of probabilities, l2 to l2"]


def _answers() -> xarray.Dataset:
    cells = ("system", "seed")
    correct = RNG.integers(0, 2, (2, 2, 8)).astype(float)
    correct[1, 1] = np.nan  # a seed that one system lacks
    found = {
        "correct": ((*cells, "example"), correct),
        "corrupted_correct": ((*cells, "corruption", "severity", "example"), RNG.uniform(size=(2, 2, 2, 3, 8))),
        "alpha": ((*cells, "constant", "point", "radius"), RNG.uniform(size=(2, 2, 2, 4, 2))),
        "alpha_upper": ((*cells, "constant", "point", "radius"), RNG.uniform(size=(2, 2, 2, 4, 2))),
    }
    coordinates = {"system": ["V", "P"], "seed": [0, 3], "corruption": ["fog", "contrast"], "severity": [1, 2, 5]}
    answers = xarray.Dataset(found, coordinates | {"constant": NAMES, "radius": [1 / 255, 0.5]})
    return answers.where(answers.correct.notnull().any("example"))


def test_a_row_has_the_figures_of_its_network_and_missing_networks_have_none() -> None:
    answers = _answers()
    figures, rows = summary(answers), table(summary(answers))
    assert [*zip(rows.system, rows.seed, strict=True)] == [("V", 0), ("V", 3), ("P", 0)]
    row, own = rows.iloc[1], figures.sel(system="V", seed=3)
    assert row.clean_accuracy == answers.correct.sel(system="V", seed=3).mean()
    assert row["corruption_accuracy[fog]"] == own.corruption_accuracy.sel(corruption="fog").mean()
    label = f"alpha_mean[{NAMES[1]}; 0.00392157]"
    assert row[label] == answers.alpha.sel(system="V", seed=3, constant=NAMES[1], radius=1 / 255).mean()


def test_what_was_measured_of_no_network_has_no_column() -> None:
    answers = _answers()
    answers["alpha"] = answers.alpha.where((answers.constant == NAMES[0]) | (answers.radius == 0.5))
    columns = table(summary(answers)).columns
    assert f"alpha_max[{NAMES[0]}; 0.00392157]" in columns
    assert f"alpha_max[{NAMES[1]}; 0.00392157]" not in columns
