import json
from pathlib import Path

import numpy as np
import pytest

from experiments import compatibility, process
from lipjax import datasets
from lipjax.compatibility import pair_distances

SMALL = ["--dataset=fashion_mnist_mini", "--num_examples=150"]
FIELDS = {
    "dataset",
    "split",
    "norm",
    "examples",
    "different_class_pairs",
    "histogram",
    "same_class_histogram",
    "thresholds",
    "min_distance_different_class",
    "seconds",
    "pairs_per_second",
}


def command(*arguments: str) -> int:
    """The exit code of the command in this process."""
    try:
        process.main(compatibility.Config, compatibility.run, compatibility.__doc__, arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def written(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    assert command(*SMALL, "--radius=0.3", f"--out_dir={folder}") == 0
    return folder


def test_the_results_are_those_of_the_library(run_dir: Path) -> None:
    results = written(run_dir, "compatibility.json")
    train = datasets.load("fashion_mnist_mini", dtype="uint8").train
    expected = pair_distances(train.inputs[:150], train.labels[:150])
    assert set(results) == FIELDS
    assert results["examples"] == 150
    assert results["histogram"] == expected.histogram.tolist()
    assert results["same_class_histogram"] == expected.same_class_histogram.tolist()
    assert results["different_class_pairs"] == expected.different_class_pairs
    assert results["min_distance_different_class"] == expected.min_distance
    assert len(results["thresholds"]) == 20
    for row in results["thresholds"]:
        assert set(row) == {"alpha", "distance", "pairs", "pairs_within_radius"}
        assert row["alpha"] == pytest.approx(1 / row["distance"])
        assert row["pairs"] == expected.count_incompatible(row["alpha"])
        assert row["pairs_within_radius"] == expected.count_incompatible(row["alpha"], 0.3)


def test_in_linf_the_table_has_the_thresholds_of_the_talk(run_dir: Path) -> None:
    distances = [row["distance"] for row in written(run_dir, "compatibility.json")["thresholds"]]
    np.testing.assert_allclose(distances, 0.25 + 0.04 * np.arange(20))


def test_the_separation_is_recorded_with_the_closest_pairs(run_dir: Path) -> None:
    separation = written(run_dir, "separation.json")
    closest = separation["closest_pairs"][0]
    train = datasets.load("fashion_mnist_mini").train
    first, second = (train.inputs[index] for index in closest["pair"])
    assert closest["distance"] == separation["minimum"] == pytest.approx(np.abs(first - second).max())
    assert separation["class_names"][0] == "T-shirt/top"
    with np.load(run_dir / "pair_distances.npz") as arrays:
        assert arrays["distances"].min() == separation["minimum"]


def test_the_figures_are_written_as_png_and_svg(run_dir: Path) -> None:
    for name in ("compatibility", "closest_pairs"):
        assert (run_dir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (run_dir / f"{name}.svg").read_text()


def test_the_same_command_counts_nothing_again(run_dir: Path) -> None:
    before = written(run_dir, "compatibility.json")
    assert command(*SMALL, "--radius=0.3", f"--out_dir={run_dir}") == 0
    assert written(run_dir, "compatibility.json") == before


def test_the_table_says_how_many_pairs_forbid_each_alpha(
    run_dir: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert command(*SMALL, "--distances=0.5,0.75", f"--out_dir={tmp_path}") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert " ".join(header.split()) == "alpha 1/alpha fraction pairs fraction, r = 0.15 pairs, r = 0.15"
    train = datasets.load("fashion_mnist_mini", dtype="uint8").train
    expected = pair_distances(train.inputs[:150], train.labels[:150])
    for line, distance in zip(lines[:2], (0.5, 0.75), strict=True):
        alpha, shown, _, pairs, _, restricted = line.split()
        assert (float(alpha), float(shown)) == (pytest.approx(1 / distance, rel=1e-3), distance)
        assert int(pairs) == expected.count_within(distance, strict=True)
        assert int(restricted) == 0


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_other_norms_and_test_against_train_have_a_table_and_figures(norm: str, tmp_path: Path) -> None:
    assert command(*SMALL, f"--norm={norm}", "--split=test-train", "--radius=1", f"--out_dir={tmp_path}") == 0
    results = written(tmp_path, "compatibility.json")
    assert sum(results["histogram"]) + sum(results["same_class_histogram"]) == 150 * 150
    assert results["thresholds"][-1]["pairs"] == results["different_class_pairs"]
    assert (tmp_path / "closest_pairs.svg").exists()


def test_inputs_that_are_no_images_have_curves_and_no_pictures(tmp_path: Path) -> None:
    assert command("--dataset=toy", "--radius=0.1", f"--out_dir={tmp_path}") == 0
    assert (tmp_path / "compatibility.png").exists()
    assert not (tmp_path / "closest_pairs.png").exists()


def test_a_single_class_has_a_table_of_zeros_and_no_figure(tmp_path: Path) -> None:
    assert command("--dataset=fashion_mnist_mini", "--num_examples=1", f"--out_dir={tmp_path}") == 0
    results = written(tmp_path, "compatibility.json")
    assert [row["pairs"] for row in results["thresholds"]] == [0] * 20
    assert results["min_distance_different_class"] == "Infinity"
    assert not (tmp_path / "compatibility.png").exists()


@pytest.mark.parametrize("flags", [["--norm=l3"], ["--radius=-1"], ["--distances=0.3,0"], ["--num_examples=0"]])
def test_wrong_flags_stop_before_any_compute(flags: list[str], tmp_path: Path) -> None:
    assert command(*flags, f"--out_dir={tmp_path / 'run'}") == 2
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_is_not_there_is_a_wrong_flag(tmp_path: Path) -> None:
    assert command("--dataset=cifar10", f"--data_dir={tmp_path}", f"--out_dir={tmp_path / 'run'}") == 2
    assert not (tmp_path / "run").exists()
