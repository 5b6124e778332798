"""The figures show the numbers that they are given, and are written whole."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lipjax import report

RADII = [0.1, 0.2, 0.3]
CURVES = {"V": [1.0, 2.0, 4.0], "PGD": [0.1, 0.1, 0.2]}


def lines_of(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[panel].get_lines()}


def test_relative_curves_are_percent_of_their_own_maximum() -> None:
    figure = report.alpha_curves(RADII, CURVES, relative=True, xlabel="r", ylabel="%")
    lines = lines_of(figure)
    np.testing.assert_allclose(lines["V"], [25, 50, 100])
    np.testing.assert_allclose(lines["PGD"], [50, 50, 100])


def test_absolute_curves_are_drawn_as_they_are_on_a_log_axis() -> None:
    figure = report.alpha_curves(RADII, CURVES, relative=False, xlabel="r", ylabel="alpha")
    np.testing.assert_allclose(lines_of(figure)["V"], CURVES["V"])
    assert figure.axes[0].get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["V", "PGD"]


def test_curves_of_a_constant_function_can_be_drawn(tmp_path: Path) -> None:
    for relative in (True, False):
        figure = report.alpha_curves(RADII, {"V": [0.0, 0.0, 0.0]}, relative=relative, xlabel="r", ylabel="alpha")
        report.save(figure, tmp_path / "zero")


def test_every_corruption_has_a_panel_that_starts_at_the_clean_accuracy() -> None:
    names = [f"corruption_{index}" for index in range(5)]
    accuracies = {system: {name: [0.8, 0.7, 0.6, 0.5, 0.4] for name in names} for system in ("V", "L")}
    figure = report.corruption_accuracies(accuracies, {"V": 0.9, "L": 0.85})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [name.replace("_", " ") for name in names]
    np.testing.assert_allclose(lines_of(figure)["L"], [85, 80, 70, 60, 50, 40])


def test_saved_figures_are_repeatable_and_leave_no_partial_files(tmp_path: Path) -> None:
    stored = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        figure = report.alpha_curves(RADII, CURVES, relative=True, xlabel="r", ylabel="%")
        stored.append([path.read_bytes() for path in report.save(figure, tmp_path / name / "alpha")])
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["alpha.png", "alpha.svg"]
    assert stored[0] == stored[1]


def test_a_csv_file_holds_the_rows_with_commas_and_quotes_kept(tmp_path: Path) -> None:
    rows = [{"system": 'a "b", c', "accuracy": 0.5}, {"system": "V", "accuracy": None}]
    report.write_csv(tmp_path / "rows.csv", rows)
    assert (tmp_path / "rows.csv").read_text().splitlines() == ["system,accuracy", '"a ""b"", c",0.5', "V,"]


@pytest.mark.parametrize("cell", ["91.2", "91.2%", 91.2, 3])
def test_numbers_are_aligned_to_the_right(cell: str | float) -> None:
    lines = report.text_table([{"a long header": cell}]).splitlines()
    assert lines[1].endswith(str(cell))
    assert len(lines[1]) == len(lines[0])
