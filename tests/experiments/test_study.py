"""The study end to end on a small scale: what it writes, that it makes sense, and that it continues after a stop."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, local_lipschitz, robustness, study, train

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "--network=mlp(widths=(16,))",
    "--systems=V,P,PGD(num_steps=1)",
    "--num_train=200",
    "--num_test=100",
    "--num_steps=20",
    "--corruptions=brightness,contrast",
    "--attacks=pgd(num_steps=2)",
    "--num_points=5",
    "--radii=0.1,0.5,1.0",
    "--progress=false",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished study."""
    path = tmp_path_factory.mktemp("study") / "finished"
    study.run(cli.parse(study.Config, [*ARGUMENTS, f"--out_dir={path}"]))
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_results_have_every_field_that_readers_rely_on(results: dict) -> None:
    assert {"dataset", "network", "seeds", "environment", "settings", "systems", "ranking"} <= results.keys()
    assert list(results["systems"]) == ["V", "P", "PGD"]
    for system in results["systems"].values():
        assert len(system["clean_accuracy"]) == len(results["seeds"]) == 1
        assert {name: len(values) for name, values in system["corruption_accuracy"].items()} == {
            "brightness": 5,
            "contrast": 5,
        }
        fields = {"radii", "max", "mean", "definition", "norm_in", "norm_out", "of", "num_points", "num_samples"}
        assert fields <= system["alpha"].keys()
        assert 0 <= system["pgd_accuracy"] <= system["clean_accuracy"][0] <= 1
    assert {"clean", "relative_performance", "small_radius_alpha", "kendall_tau"} <= results["ranking"].keys()


def test_the_numbers_follow_from_each_other(results: dict) -> None:
    for system in results["systems"].values():
        corrupted = np.mean(list(system["corruption_accuracy"].values()))
        assert system["relative_performance"] == pytest.approx(system["clean_accuracy"][0] - corrupted)
        assert np.all(np.diff(system["alpha"]["max"]) >= 0)
        assert np.all(np.array(system["alpha"]["mean"]) <= np.array(system["alpha"]["max"]))
        assert np.all(np.array(system["alpha"]["max"]) <= np.array(system["alpha"]["upper"]))
    by_alpha = results["ranking"]["small_radius_alpha"]
    values = [results["systems"][label]["alpha"]["max"][0] for label in by_alpha]
    assert values == sorted(values)


def test_a_table_and_every_figure_are_written(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert [row["system"] for row in rows] == ["V", "P", "PGD"]
    for name in ("alpha", "alpha_relative", "corruptions"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
        assert (folder / f"{name}.svg").read_text().startswith("<?xml")


def test_a_finished_study_computes_nothing_again(folder: Path, results: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("computed again")

    for module, name in ((train, "run"), (robustness, "under_corruption"), (local_lipschitz, "measure")):
        monkeypatch.setattr(module, name, refuse)
    again = study.run(cli.parse(study.Config, [*ARGUMENTS, f"--out_dir={folder}"]))
    assert again["ranking"] == results["ranking"]


def test_a_study_that_was_stopped_continues_to_the_same_results(
    tmp_path: Path, results: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = cli.parse(study.Config, [*ARGUMENTS, f"--out_dir={tmp_path / 'stopped'}"])
    with monkeypatch.context() as patch:
        patch.setattr(robustness, "under_corruption", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            study.run(config)
    continued = study.run(config)
    assert continued["ranking"] == results["ranking"]
    for label, system in results["systems"].items():
        assert json.loads(json.dumps(continued["systems"][label])) == system


def test_the_directory_of_other_flags_is_refused(folder: Path) -> None:
    with pytest.raises(Exception, match="num_points"):
        study.run(cli.parse(study.Config, [*ARGUMENTS, "--num_points=6", f"--out_dir={folder}"]))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--systems=V,vanillla", "'vanillla' is none of vanilla, parseval"),
        ("--systems=V,V", "has a name twice"),
        ("--corruptions=fogg", "fogg"),
        ("--attacks=pgdd", "'pgdd' is none of"),
        ("--attacks=pgd(steps=3)", "no option 'steps'"),
        ("--radius=-1", "radius must be 0 or greater"),
        ("--radii=0.1,-0.2", "--radii must be positive"),
        ("--certified_radii=-1", "radius must be 0 or greater"),
        ("--num_points=0", "num_points"),
        ("--network=cnn(channels=(0,))", "--network"),
        ("--dataset=nowhere", "nowhere"),
        ("--recipes=V(rate=0.1)", "V has no rate, only"),
    ],
)
def test_a_wrong_flag_stops_before_any_compute_and_says_what_is_legal(tmp_path: Path, flag: str, message: str) -> None:
    out_dir = tmp_path / "none"
    with pytest.raises(cli.UsageError, match=message.replace("(", r"\(")):
        study.run(cli.parse(study.Config, [*ARGUMENTS, f"--out_dir={out_dir}", flag]))
    assert not out_dir.exists()


def test_robustness_and_slopes_of_one_run_are_those_of_the_study(folder: Path, results: dict) -> None:
    measured = robustness.run(
        robustness.Config(
            run_dir=str(folder / "P-seed0"),
            corruptions=("contrast",),
            attacks=("pgd(num_steps=2)",),
            radius=results["settings"]["radius"],
            progress=False,
        )
    )
    system = results["systems"]["P"]
    assert measured["clean_accuracy"] == system["clean_accuracy"][0]
    assert measured["corruption_accuracy"]["contrast"] == system["corruption_accuracy"]["contrast"]
    assert measured["attacked_accuracy"] == system["pgd_accuracy"]
    assert (folder / "P-seed0" / "robustness_corruptions.png").stat().st_size > 10_000

    slopes = local_lipschitz.run(
        local_lipschitz.Config(run_dir=str(folder / "P-seed0"), radii=(0.1, 0.5, 1.0), num_points=5)
    )
    np.testing.assert_allclose(slopes["alpha"]["max"], system["alpha"]["max"], rtol=1e-5)
    rows = list(csv.DictReader((folder / "P-seed0" / "lipschitz_points.csv").read_text().splitlines()))
    assert len(rows) == 5
    assert (folder / "P-seed0" / "lipschitz_steepest.png").stat().st_size > 10_000


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    for module in (robustness, local_lipschitz):
        with pytest.raises(cli.UsageError, match="can't be read as a training run"):
            module.run(module.Config(run_dir=str(tmp_path / "nothing")))


@pytest.mark.parametrize("preset", study.Config.PRESETS)
def test_a_preset_gives_defaults_that_flags_replace(preset: str) -> None:
    config = cli.parse(study.Config, [f"--preset={preset}", "--num_steps=7"])
    wanted = study.Config.PRESETS[preset] | {"num_steps": 7}
    assert {name: getattr(config, name) for name in wanted} == wanted
    ours = dataclasses.replace(config, dataset="fashion_mnist_mini", num_train=200, num_test=100)
    for unit in study.units_of(ours, Path("folder")):
        train.prepare(unit.config)


def test_a_recipe_changes_the_training_of_its_system_only() -> None:
    config = cli.parse(study.Config, ["--systems=V,P", '--recipes=P(optimizer="sgd(momentum=0)", num_steps=7)'])
    plain, changed = (unit.config for unit in study.units_of(config, Path("folder")))
    assert (plain.optimizer, plain.num_steps) == (config.optimizer, config.num_steps)
    assert (changed.optimizer, changed.num_steps) == ("sgd(momentum=0)", 7)


def test_labels_leave_out_options() -> None:
    assert study.label_of("P(beta=3e-4) + PGD(norm=l2, radius=1/4)") == "P+PGD"


def test_seeds_are_averaged_and_listed() -> None:
    config = dataclasses.replace(cli.parse(study.Config, ARGUMENTS), num_seeds=2, systems=("V",))
    units = study.units_of(config, Path("folder"))
    done = {"corruption brightness": {}, "corruption contrast": {}}
    for index, unit in enumerate(units):
        done[f"train {unit.name}"] = {"test_accuracy": 0.8 + 0.1 * index, "train_accuracy": 1.0}
        done[f"attack {unit.name} {config.attacks[0]}"] = {"accuracies": {"pgd": 0.2 * index}, "warnings": {}}
        done[f"certified {unit.name}"] = {"bound": 2.0, "radii": [0.1], "accuracies": [0.1 * index]}
        done[f"alpha {unit.name}"] = {"max": [1.0 + index], "mean": [0.5], "upper": [4.0], "upper_mean": [2.0]}
        for name in ("brightness", "contrast"):
            done[f"corruption {name}"][unit.name] = [0.5 + 0.1 * index] * 5
    system = study.of_system("V", units, done, config)
    assert system["clean_accuracy"] == [0.8, 0.9]
    assert system["relative_performance"] == pytest.approx(0.85 - 0.55)
    assert system["pgd_accuracy"] == pytest.approx(0.1)
    assert system["certified"] == {"bound": [2.0, 2.0], "radii": [0.1], "accuracies": [pytest.approx(0.05)]}
    assert system["alpha"]["max"] == [1.5]
    assert system["alpha"]["per_seed"] == [[1.0], [2.0]]
