"""The page of runs on disk: what is there is shown, what is missing or damaged is said, and nothing stops it."""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from experiments import cli, report
from lipjax import measurements, records
from lipjax.records import answers


def measured(path: Path, system: str, seed: int, accuracy: float, *, dataset: str = "toy") -> Path:
    """A run directory as training and measuring leave it."""
    path.mkdir(parents=True)
    records.write_json(path / "flags.json", {"system": system, "seed": seed, "dataset": dataset, "num_steps": 3})
    records.write_json(path / "results.json", {"environment": {"python": "3.11", "versions": {"jax": "0.10"}}})
    (path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo')
    correct = np.arange(100) < 100 * accuracy
    clean = xarray.Dataset({"correct": ("example", correct), "train_correct": ("train_example", correct)})
    answers.write(path / "measurements" / "clean-0123456789ab.nc", clean, {"measurement": "clean"})
    steep = np.full((1, 2, 2), 1 - accuracy)
    coordinates = {"constant": ["slope of logits, l2 to l2"], "point": [0, 1], "radius": [0.1, 0.5]}
    axes = tuple(coordinates)
    alpha = xarray.Dataset({"alpha": (axes, steep), "alpha_upper": (axes, 2 * steep)}, coordinates)
    answers.write(path / "measurements" / "alpha-0123456789ab.nc", alpha, {"measurement": "alpha"})
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs of a system, one of another."""
    for name, system, seed, accuracy in (("a", "V", 0, 0.9), ("b", "V", 1, 0.8), ("c", "PGD(radius=0.1)", 0, 0.7)):
        measured(tmp_path / "runs" / name, system, seed, accuracy)
    return tmp_path / "runs"


def page(runs: Path, *more: Path, **options: str) -> str:
    """The text of the page of all runs in a folder."""
    given = (f"{runs}/*", *map(str, more))
    return report.run(report.Config(runs=given, out=str(runs.parent / "page.html"), **options)).read_text()


def test_runs_are_shown_with_their_numbers_settings_and_commands(runs: Path) -> None:
    text = page(runs, title="Mine")
    assert "<title>Mine</title>" in text
    assert "85.0<small>80.0 to 90.0</small>" in text
    assert "PGD(radius=0.1), seed 0: c" in text
    command = "python -m experiments.train &#39;--system=PGD(radius=0.1)&#39; --seed=0 --dataset=toy --num_steps=3"
    assert command in text
    assert "jax 0.10" in text


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(runs: Path, tmp_path: Path) -> None:
    text = page(runs)
    moved = tmp_path / "moved" / "runs"
    shutil.copytree(runs, moved)
    assert page(moved) == text == page(runs)


def test_what_is_damaged_or_missing_is_said_and_the_rest_is_shown(runs: Path, tmp_path: Path) -> None:
    (runs / "b" / "measurements" / "alpha-0123456789ab.nc").write_bytes(b"torn")
    (runs / "c" / "results.json").write_text("{")
    (runs / "trained").mkdir()
    records.write_json(runs / "trained" / "flags.json", {"system": "L"})
    for _ in range(2):
        text = page(runs, tmp_path / "nowhere")
        assert "b: alpha-0123456789ab.nc is damaged." in text
        assert "No steepness alpha of V (seed 1)." in text
        assert "trained: nothing was measured of this run." in text
        assert "nowhere is no directory." in text
        assert "PGD(radius=0.1), seed 0: c" in text


def test_runs_of_one_name_and_seed_are_told_apart_by_their_directories(runs: Path) -> None:
    measured(runs / "d", "V", 0, 0.5)
    text = page(runs)
    assert 'data-system="V (d)"' in text


def test_runs_on_several_datasets_are_not_compared_in_silence(runs: Path) -> None:
    measured(runs / "d", "V", 2, 0.5, dataset="other")
    assert "Runs of several datasets are compared: other, toy." in page(runs)


def test_pictures_of_run_directories_are_in_the_gallery(runs: Path) -> None:
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    (runs / "a" / "lipschitz-1_steepest.svg").write_text(drawing)
    (runs / "pairs").mkdir()
    (runs / "pairs" / "closest_pairs.svg").write_text(drawing)
    text = page(runs)
    assert text.count("data:image/svg+xml;base64,") == 2
    assert "Closest pairs of different classes (pairs)" in text


def test_directories_without_any_measurement_are_a_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(cli.UsageError, match="nothing was measured of any of 1 directories"):
        report.run(report.Config(runs=(str(tmp_path),), out=str(tmp_path / "page.html")))


def test_a_command_is_written_with_what_differs_from_its_defaults() -> None:
    config = report.Config(title="two words", certified_radii=(0.1, 0.2))
    assert (
        cli.command_line("report", config)
        == "python -m experiments.report '--title=two words' --certified_radii=0.1,0.2"
    )


def test_figures_of_answers_have_what_is_drawn_point_by_point() -> None:
    parts = {"constant": ["slope"], "point": [0], "radius": [0.1]}
    one = xarray.DataArray(jnp.ones((1, 1, 1)), parts, tuple(parts))
    found = report.figures_of(xarray.Dataset({"alpha": one, "alpha_upper": one}), [0.1])
    assert {"alpha", "alpha_max"} <= set(found)
    assert set(measurements.summary(xarray.Dataset({"alpha": one, "alpha_upper": one}))) <= set(found)
