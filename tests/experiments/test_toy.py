"""The one-dimensional example shows what it claims, with numbers measured on the trained fits."""

import json
from pathlib import Path

import pytest

from experiments import cli, toy
from lipjax import records


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("toy")
    toy.run(cli.parse(toy.Config, [f"--out_dir={folder}", "--progress=false"]))
    assert (folder / "toy.png").stat().st_size > 10_000
    assert "alpha = 1 everywhere" in (folder / "toy.svg").read_text()
    return dict(
        zip(("free", "global", "local"), json.loads((folder / "toy.json").read_text())["fits"].values(), strict=True)
    )


def test_a_slope_of_one_everywhere_misses_the_data_by_the_least_possible_error(fits: dict) -> None:
    # The classes are 0.5 apart: a function of slope 1 rises by 0.5 between them, and shares an error of 0.5.
    assert fits["global"]["global_slope"] <= 1 + 1e-3
    assert fits["global"]["largest_error"] == pytest.approx(0.25, abs=0.02)


def test_a_slope_of_one_around_the_data_fits_them(fits: dict) -> None:
    assert fits["local"]["local_slope"] <= 1.05
    assert fits["local"]["largest_error"] < 0.05
    assert fits["local"]["global_slope"] > 2 - 0.1  # which any fit needs somewhere


def test_without_constraint_the_fit_is_steeper_near_the_data(fits: dict) -> None:
    assert fits["free"]["largest_error"] < 0.05
    assert fits["free"]["local_slope"] > fits["local"]["local_slope"] + 0.1


def test_a_folder_that_can_not_be_made_is_refused_before_any_training(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(records.RunRefused, match="can't make the run directory"):
        toy.run(cli.parse(toy.Config, [f"--out_dir={path}"]))


def test_balls_that_meet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(cli.UsageError, match=r"below 0\.25"):
        cli.parse(toy.Config, ["--radius=0.3", f"--out_dir={tmp_path}"])
