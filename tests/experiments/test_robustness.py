"""Robustness of one trained run: computed and published images, baselines, several attacks, and what is written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import cli, corrupt, corruption_sets, robustness, train
from lipjax import attacks, corruptions, datasets, norms
from lipjax.evaluation import Stage, Suite

NAMES = ("contrast", "fog")
FLAGS = [f"--corruptions={','.join(NAMES)}", "--attacks=fgsm", "--noprogress"]


class twice(Suite):
    """A suite of two attacks."""

    ball: norms.Ball = norms.linf.ball(8 / 255)

    def stages(self, num_classes):
        weak, strong = (attacks.pgd(self.ball, num_steps=steps) for steps in (1, 5))
        return Stage("weak", weak, cost=1.0), Stage("strong", strong, cost=5.0)


TWICE = f"{__name__}:twice"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images of the embedded dataset, as a dataset of their own."""
    path = tmp_path_factory.mktemp("images") / "small.npz"
    (train_inputs, train_labels), (inputs, labels), *_ = datasets.load("fashion_mnist_mini", dtype="uint8")[1:]
    arrays = {
        "x_train": train_inputs[:200],
        "y_train": train_labels[:200],
        "x_test": inputs[:30],
        "y_test": labels[:30],
    }
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def folder(images: Path) -> Path:
    """The directory of a training run."""
    path = images.parent / "run"
    flags = [f"--dataset={images}", "--network=mlp(widths=(16,))", "--num_steps=40", f"--out_dir={path}"]
    train.run(cli.parse(train.Config, [*flags, "--batch_size=50", "--noprogress"]))
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> dict:
    return measure(folder)


def measure(folder: Path, *flags: str) -> dict:
    return robustness.run(cli.parse(robustness.Config, [*FLAGS, f"--run_dir={folder}", *flags]))


def written(folder: Path, ending: str) -> Path:
    """The newest file that the command wrote."""
    return max(folder.glob(f"robustness-*{ending}"), key=lambda path: path.stat().st_mtime)


def test_tables_by_corruption_severity_and_family_have_the_same_numbers(folder: Path, results: dict) -> None:
    accuracies = results["corruption_accuracy"]
    rows = list(csv.DictReader(written(folder, ".csv").read_text().splitlines()))
    assert [(row["corruption"], row["family"]) for row in rows] == [
        ("contrast", "weather" if "contrast" in corruptions.FAMILIES["weather"] else "digital"),
        ("fog", "weather"),
        ("mean", ""),
    ]
    for row in rows[:2]:
        assert [float(row[f"severity {s}"]) for s in range(1, 6)] == accuracies[row["corruption"]]
        assert float(row["mean"]) == pytest.approx(results["family_accuracy"][row["family"]])
    assert float(rows[2]["mean"]) == pytest.approx(results["mean_corruption_accuracy"])
    assert json.loads(written(folder, ".json").read_text())["corruption_accuracy"] == accuracies


def test_published_images_give_what_computed_ones_gave(folder: Path, images: Path, results: dict) -> None:
    out_dir = images.parent / "corrupted"
    flags = [f"--dataset={images}", f"--corruptions={','.join(NAMES)}", f"--out_dir={out_dir}", "--noprogress"]
    corrupt.run(cli.parse(corrupt.Config, flags))
    published = measure(folder, f"--published={out_dir}")
    assert published["corruption_accuracy"] == results["corruption_accuracy"]


def test_the_published_images_of_tfds_have_the_names_that_are_asked_for() -> None:
    known = {config.name for config in tfds.builder_cls("cifar10_corrupted").BUILDER_CONFIGS}
    asked = []
    load = corruption_sets.published(corruption_sets.TFDS, "folder")._load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_test", lambda name, data_dir: asked.append((name, data_dir)))
        for name in corruptions.NAMES:
            for severity in corruption_sets.SEVERITIES:
                load(name, severity)
    assert {name.removeprefix("cifar10_corrupted/") for name, _ in asked} == known
    assert {data_dir for _, data_dir in asked} == {"folder"}


def test_a_network_that_is_its_own_baseline_has_an_mce_of_one(folder: Path, results: dict) -> None:
    relative = measure(folder, f"--baseline={folder}")
    assert relative["mean_corruption_error"] == pytest.approx(1.0)
    assert relative["relative_mean_corruption_error"] == pytest.approx(1.0)


def test_a_baseline_may_be_a_file_or_the_published_one(folder: Path, results: dict, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text('{"contrast": 0.5, "fog": [0.5, 0.5], "clean": 0.1}')
    errors = 1 - np.mean([results["corruption_accuracy"][name] for name in NAMES])
    of_file = measure(folder, f"--baseline={path}")
    assert of_file["mean_corruption_error"] == pytest.approx(errors / 0.5)
    clean = 1 - results["clean_accuracy"]
    assert of_file["relative_mean_corruption_error"] == pytest.approx((errors - clean) / 0.4)
    of_alexnet = measure(folder, "--baseline=alexnet")
    assert of_alexnet["mean_corruption_error"] > 0
    assert of_alexnet["relative_mean_corruption_error"] is None


def test_attacks_and_suites_are_reported_side_by_side(folder: Path) -> None:
    results = measure(folder, f"--attacks={TWICE},fgsm,pgd(num_steps=2)", "--radius=4/255")
    ball = norms.linf.ball(4 / 255)
    names = [
        f"{twice(ball)}: weak",
        f"{twice(ball)}: strong",
        str(attacks.fgsm(ball)),
        str(attacks.pgd(ball, num_steps=2)),
    ]
    assert list(results["attacks"]) == names
    weak, strong, *_ = results["attacks"].values()
    assert results["clean_accuracy"] >= weak >= strong
    assert results["attacked_accuracy"] <= min(results["attacks"].values())
    assert len(list(folder.glob("measurements/attacked-*.parts/adversarial.npy"))) == 1


def test_another_radius_overwrites_nothing(folder: Path, results: dict) -> None:
    before = {path: path.read_bytes() for path in folder.glob("robustness-*")}
    other = measure(folder, "--radius=1/255")
    assert other["attacked_accuracy"] >= results["attacked_accuracy"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_function_of_ones_own_is_an_attack(folder: Path, results: dict) -> None:
    unmoved = measure(folder, f"--attacks={__name__}:unmoved")
    assert unmoved["attacks"] == {"unmoved": results["clean_accuracy"]}


def unmoved(key, objective, center):
    """The weakest attack."""
    return center


def test_the_smoothed_network_is_certified_where_a_sigma_is_given(
    folder: Path, results: dict, capsys: pytest.CaptureFixture
) -> None:
    flags = ["--smoothing_sigma=0.1", "--smoothing_samples=100", "--smoothing_points=12", "--smoothing_radii=0,0.05,9"]
    smoothing = measure(folder, *flags)["smoothing"]
    certified = smoothing["certified_accuracy"]
    assert smoothing["num_points"] == 12
    assert smoothing["radii"] == [0.0, 0.05, 9.0]
    assert 1 - smoothing["abstained"] >= certified[0] >= certified[1] > certified[2] == 0.0
    assert "certified accuracy" in capsys.readouterr().out
    newest = json.loads(written(folder, ".json").read_text())
    assert newest["smoothing"] == smoothing
    assert newest["smoothed_accuracy"] == certified[0]
    assert "smoothing" not in results


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--smoothing_sigma=-1", "--smoothing_sigma must be 0 or greater, got -1"),
        ("--smoothing_failure=0 --smoothing_sigma=1", "failure must be above 0 and below 1"),
        ("--corruptions=cifar10_c", "--published must be their folder"),
        ("--corruptions=rain", "rain"),
        ("--published=nowhere", "--published: .*contrast.npy is not there"),
        ("--baseline=nowhere", "--baseline: .*nowhere"),
        ("--attacks=standrd", "'standrd' is none of .*standard.*pgd20"),
        ("--attacks=standard(num_steps=3)", "standard has no option 'num_steps'"),
        ("--attacks=pgd(steps=3)", "no option 'steps'"),
        ("--radius=-1", "radius must be 0 or greater"),
        ("--run_dir=nowhere", "nowhere can't be read as a training run"),
    ],
)
def test_a_wrong_flag_stops_before_any_compute(folder: Path, flag: str, message: str) -> None:
    with pytest.raises(cli.UsageError, match=message):
        measure(folder, *flag.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"fog": 0.5}', "no error above 0 for contrast"), ('{"fog": "high"}', "high"), ("[", "Expecting value")],
)
def test_a_baseline_file_that_can_not_be_used_is_refused(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(cli.UsageError, match=message):
        measure(folder, f"--baseline={path}")


def test_published_images_of_another_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in NAMES:
        np.save(tmp_path / f"{name}.npy", np.zeros((10, 8, 8, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.zeros(10, np.int64))
    with pytest.raises(cli.UsageError, match=r"images of shape \(8, 8, 3\)"):
        measure(folder, f"--published={tmp_path}")
