"""Figures show the numbers that they are given, whatever the number of systems and the length of their names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import xarray

from lipjax import report, statistics
from lipjax.report import appearance, frames
from lipjax.report.files import written


@pytest.fixture(scope="module")
def figures() -> xarray.Dataset:
    return synthetic.figures(synthetic.names(5))


def rows_of(chart: Any) -> list[list[dict]]:
    """All tables that a chart draws."""

    def walk(part: Any) -> list:
        if isinstance(part, list):
            return [rows for one in part for rows in walk(one)]
        if isinstance(part, dict):
            own = [json.loads(part["values"])] if isinstance(part.get("values"), str) else []
            return own + [rows for one in part.values() for rows in walk(one)]
        return []

    return walk(chart.to_dict())


def test_a_system_looks_the_same_whatever_it_is_compared_with() -> None:
    alone = report.looks(["mine"])["mine"]
    assert report.looks(["PGD", "other", "mine", "V"])["mine"] == alone
    assert report.looks(["V"])["V"] == report.looks(["PGD", "V"])["V"]


def test_forty_systems_differ_in_colour_or_marker_and_in_their_labels() -> None:
    looks = report.looks(synthetic.names(40)).values()
    assert len({(look.colour, look.marker) for look in looks}) == len({look.label for look in looks}) == 40


def test_names_that_differ_in_the_middle_only_have_labels_that_differ() -> None:
    labels = [look.label for look in report.looks(["a" * 90 + letter + "b" * 90 for letter in "xyz"]).values()]
    assert len(set(labels)) == 3
    assert max(len(line) for label in labels for line in label.splitlines()) <= appearance.WIDTH


def luminance(colour: str) -> np.ndarray:
    levels = np.array([int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)])
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA])
def test_colours_are_told_apart_by_the_colour_blind_at_least_as_well_as_okabe_and_itos(sight: np.ndarray) -> None:
    """Distances in Oklab of what each sees, by Machado et al. 2009."""
    to_cones = [[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]]

    def nearest(colours: list[str]) -> float:
        linear = np.clip(np.stack([luminance(colour) for colour in colours]) @ sight.T, 0, 1)
        lab = np.cbrt(linear @ np.transpose(to_cones)) @ np.transpose(to_lab)
        distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
        return distances[~np.eye(len(lab), dtype=bool)].min()

    okabe_ito = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000"]
    assert nearest(list(appearance.COLOURS)) > min(nearest(okabe_ito), 0.08)


def test_colours_stand_out_on_light_and_on_dark_ground() -> None:
    for colour in appearance.COLOURS:
        own = luminance(colour) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (own + 0.05) > 2.7
        assert (own + 0.05) / (0.008 + 0.05) > 2.7


def test_curves_are_the_mean_over_seeds_with_the_range_over_seeds(figures: xarray.Dataset) -> None:
    frame = frames.alpha(figures).set_index(["system", "radius"]).loc[("P", 0.5)]
    own = figures.alpha_max.sel(system="P", radius=0.5).values
    assert (frame.maximum, frame.maximum_low, frame.maximum_high) == pytest.approx((own.mean(), own.min(), own.max()))
    assert frame.local == pytest.approx(figures.alpha_upper.sel(system="P", radius=0.5)[..., :3].max("point").mean())


def test_shares_are_percent_of_each_curves_largest_value(figures: xarray.Dataset) -> None:
    (rows,) = rows_of(report.alpha_curves(frames.alpha(figures), show="share"))
    assert max(row["share"] for row in rows if row["system"] == "L") == 100


def test_every_corruption_has_a_panel_with_clean_and_attacked_accuracy(figures: xarray.Dataset) -> None:
    frame = frames.accuracies(figures)
    fog = frame[(frame.system == "V") & (frame.corruption == "fog")].set_index("step")["accuracy"]
    assert list(fog.index) == ["1", "2", "3", "4", "5", "0", "attack"]
    assert fog["0"] == pytest.approx(100 * figures.clean_accuracy.sel(system="V").mean())
    assert fog["attack"] == pytest.approx(100 * figures.attacked_accuracy.sel(system="V").mean())
    assert frame[frame.corruption == "mean"].groupby("system").size().to_dict() == dict.fromkeys(synthetic.TALK, 7)


def test_the_tau_in_the_picture_is_that_of_scipy_over_runs(figures: xarray.Dataset) -> None:
    pairs = frames.agreement(figures)
    taus = frames.taus(pairs).set_index(["target", "radius"])
    own = pairs[(pairs.target == "attacked_accuracy") & (pairs.radius == 0.05)]
    tau = taus.loc[("attacked_accuracy", 0.05)]
    assert tau.tau == pytest.approx(statistics.kendall_tau(own.alpha, own.value).value)
    assert tau.low <= tau.tau <= tau.high
    assert (tau.num_runs, tau.num_systems) == (10, 5)
    shown = json.dumps(report.agreement(own, frames.taus(own)).to_dict(), ensure_ascii=False)
    assert f"τ = {tau.tau:.2f} [" in shown


def test_copies_of_a_network_make_a_tau_no_surer(figures: xarray.Dataset) -> None:
    once = figures.isel(seed=[0])
    copied = xarray.concat([once.assign_coords(seed=[seed]) for seed in range(4)], "seed", data_vars="all")
    (first, *_), (second, *_) = (frames.taus(frames.agreement(one)).itertuples() for one in (once, copied))
    assert second.p_value == first.p_value
    assert (second.low, second.high) == (first.low, first.high)


def test_seeds_of_one_system_have_no_tau() -> None:
    alone = frames.agreement(synthetic.figures(["V"], seeds=4))
    assert len(alone) > 0
    assert len(frames.taus(alone)) == 0


def test_intervals_are_those_of_a_bootstrap_of_kendalls_tau(figures: xarray.Dataset) -> None:
    pairs = frames.agreement(figures.sel(radius=[0.05]))
    own = pairs[pairs.target == "attacked_accuracy"]
    expected = statistics.bootstrap_tau(own.alpha.to_numpy(), own.value.to_numpy(), clusters=own.system.to_numpy())
    (tau,) = frames.taus(own).itertuples()
    assert (tau.low, tau.high) == pytest.approx((expected.low, expected.high))


def test_distributions_are_steps_from_zero_to_all_points(figures: xarray.Dataset) -> None:
    frame = frames.distributions(figures)
    own = frame[(frame.system == "V") & (frame.radius == 1.0)]
    assert (own.share.iloc[0], own.share.iloc[-1]) == (0, 100)
    points = figures.alpha.sel(system="V", radius=1.0).values.ravel()
    middle = own.iloc[20]
    assert 100 * np.mean(points <= middle.alpha) == pytest.approx(middle.share)


@pytest.mark.parametrize("count", [1, 7])
def test_all_figures_of_a_study_can_be_drawn(count: int, tmp_path: Path) -> None:
    drawn = report.charts(synthetic.figures(synthetic.names(count), seeds=1), "cnn on toy")
    assert set(drawn) == {"alpha", "alpha_relative", "alpha_mean", "agreement", "corruptions", "heat_map", "points"}
    for name, chart in drawn.items():
        assert "</svg>" in written(chart, ["svg"])["svg"].decode(), name


def test_what_was_not_measured_leaves_its_figure_out(figures: xarray.Dataset) -> None:
    assert set(report.charts(figures[["clean_accuracy", "corruption_accuracy"]], "")) == {"corruptions", "heat_map"}
    assert report.charts(figures[["clean_accuracy"]], "") == {}


def test_functions_that_are_constant_can_be_drawn() -> None:
    flat = synthetic.figures(["V"], seeds=1) * 0.0
    for name, chart in report.charts(flat, "").items():
        assert "</svg>" in written(chart, ["svg"])["svg"].decode(), name


def test_a_legend_never_lies_over_the_plot_and_never_grows_without_limit() -> None:
    frame = frames.alpha(synthetic.figures(synthetic.names(7), seeds=1))
    width, height = size_of(report.alpha_curves(frame))
    assert 420 < width < 800
    assert height < 500


def size_of(chart: Any) -> tuple[float, float]:
    head = written(report.finished(chart, "title"), ["svg"])["svg"].decode().split(">", 1)[0]
    return tuple(float(head.split(f'{side}="')[1].split('"')[0]) for side in ("width", "height"))  # type: ignore[return-value]


def test_saved_figures_are_repeatable_and_leave_no_partial_files(figures: xarray.Dataset, tmp_path: Path) -> None:
    stored = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        chart = report.finished(report.heat_map(frames.by_corruption(figures)), "title")
        paths = report.save(chart, tmp_path / name / "chart", ["png", "svg", "html", "pdf"])
        stored.append([path.read_bytes() for path in paths[:3]])
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(path.name for path in paths)
    assert stored[0] == stored[1]
    assert b"https://cdn" not in stored[0][2]


def test_images_stand_in_rows_and_columns_with_captions_and_differences_on_one_scale() -> None:
    images = np.zeros((2, 4, 4, 1))
    changes, largest = report.differences(images, images + np.array([0.5, 0.25]).reshape(2, 1, 1, 1))
    assert (largest, changes[0, 0, 0, 0], changes[1, 0, 0, 0]) == (0.5, 1.0, 0.75)
    grid = report.image_grid(
        [list(images), list(changes)], rows=["image", "difference"], captions=[["a", "b"], ["", ""]]
    )
    pictures, captions, sides = rows_of(grid)
    assert len(pictures) == len(captions) == 4
    assert len({row["url"] for row in pictures}) == 3
    assert [row["text"] for row in sides] == ["image", "difference"]


def test_every_curve_of_pairs_says_how_many_there_are() -> None:
    edges, counts = np.array([1.0, 2.0, 3.0]), np.array([5.0, 1.0, 0.0])
    curves = {"all": (edges, counts), "near": (edges, np.minimum(counts, 1)), "none": (edges, 0 * counts)}
    chart = json.dumps(report.incompatible_pairs(curves, num_pairs=10, metric="L2").to_dict())
    for words in ("all: 5 pairs", "near: 1 pair", "none: 0 pairs"):
        assert f'"{words}"' in chart
