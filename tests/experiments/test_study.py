"""The study end to end on a small scale: what it writes, that it makes sense, and that it continues after a stop."""

import csv
import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import audit, cli, flags, local_lipschitz, process, robustness, study, sweep, toy, train
from lipjax import measurements, records
from lipjax.sweep import computing

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "--network=mlp(widths=(16,))",
    "--system=V,P,PGD(num_steps=1)",
    "--num_train=200",
    "--num_test=100",
    "--num_steps=20",
    "--seed=0",
    "--corruptions=brightness,contrast",
    "--attacks=pgd(num_steps=2)",
    "--num_points=5",
    "--radii=0.1,0.5,1.0",
    "--progress=false",
    "--num_workers=1",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs are kept during these tests."""
    return tmp_path_factory.mktemp("study") / "runs"


@pytest.fixture(scope="module")
def arguments(store: Path) -> list[str]:
    """The flags of all studies here."""
    return [*ARGUMENTS, f"--store={store}"]


@pytest.fixture(scope="module")
def folder(store: Path, arguments: list[str]) -> Path:
    """The directory of a finished study."""
    path = store.parent / "finished"
    study.run(cli.parse(study.Config, [*arguments, f"--out_dir={path}"]))
    return path


def run_of(store: Path, system: str) -> Path:
    """The directory of a system's training with seed 0."""
    flags_of = {path.parent: records.read_json(path) for path in store.glob("*/flags.json")}
    (path,) = [path for path, given in flags_of.items() if (given["system"], given["seed"]) == (system, 0)]
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
        fields = {"radii", "max", "mean", "definition", "norm_in", "norm_out", "of", "num_points", "estimator"}
        assert fields <= system["alpha"].keys()
        assert 0 <= system["attacked_accuracy"] <= system["clean_accuracy"][0] <= 1
    assert {"clean", "relative_performance", "small_radius_alpha"} <= results["ranking"].keys()
    assert results["verdict"]["num_networks"] == 3


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
    for name in ("alpha", "alpha_relative", "alpha_mean", "agreement", "corruptions", "heat_map", "points"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
        assert (folder / f"{name}.svg").read_text().startswith("<svg")
    assert "Does steepness around training points predict robustness?" in (folder / "page.html").read_text()


def test_a_finished_study_computes_nothing_again(
    folder: Path, results: dict, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = counted(monkeypatch)
    again = study.run(cli.parse(study.Config, [*arguments, f"--out_dir={folder}"]))
    assert again["ranking"] == results["ranking"]
    assert count == []


def counted(patch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is trained and measured from now on."""
    done: list[str] = []
    train, measure = computing.train_pack, measurements.Measurement.run

    def trained(places, *arguments, **keywords):
        done.extend(f"train {place.cell.name}, {place.cell.seed}" for place in places)
        return train(places, *arguments, **keywords)

    def measured(measurement, *arguments, **keywords):
        done.append(repr(measurement) if measurement.name == "attacked" else measurement.name)
        return measure(measurement, *arguments, **keywords)

    patch.setattr(computing, "train_pack", trained)
    patch.setattr(measurements.Measurement, "run", measured)
    return done


def test_another_radius_system_or_seed_computes_what_is_missing_only(
    folder: Path, results: dict, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = counted(monkeypatch)
    systems = study.run(cli.parse(study.Config, [*arguments, "--radii=0.1,0.5", f"--out_dir={folder}-radii"]))[
        "systems"
    ]
    assert done == ["alpha"] * 3
    assert systems["V"]["alpha"]["max"] == results["systems"]["V"]["alpha"]["max"][:2]
    done.clear()
    study.run(cli.parse(study.Config, [*arguments, "--radius=4/255", f"--out_dir={folder}-radius"]))
    assert len(done) == 3
    assert all(name.startswith("attacked(") for name in done)
    done.clear()
    flags = ["--system=V,P(beta=[1e-4,1e-3])", f"--out_dir={folder}-systems"]
    systems = study.run(cli.parse(study.Config, [*arguments, *flags]))["systems"]
    assert list(systems) == ["V", "P(beta=0.0001)", "P(beta=0.001)"]
    assert [name for name in done if name.startswith("train")] == ["train P(beta=0.0001), 0", "train P(beta=0.001), 0"]
    done.clear()
    seeds = study.run(cli.parse(study.Config, [*arguments, "--system=V", "--seed=0:2", f"--out_dir={folder}-seeds"]))
    assert [name for name in done if name.startswith("train")] == ["train V, 1"]
    first = results["systems"]["V"]
    assert seeds["systems"]["V"]["clean_accuracy"][0] == first["clean_accuracy"][0]
    assert seeds["systems"]["V"]["alpha"]["per_seed"][0] == first["alpha"]["max"]
    assert seeds["systems"]["V"]["alpha"]["max"] == np.mean(seeds["systems"]["V"]["alpha"]["per_seed"], axis=0).tolist()


def test_the_directory_of_other_flags_is_refused(folder: Path) -> None:
    with pytest.raises(records.RunRefused, match="num_points was 5, now 6"):
        study.run(cli.parse(study.Config, [*ARGUMENTS, "--num_points=6", f"--out_dir={folder}"]))


def test_the_answers_of_all_runs_open_as_one_table(folder: Path, store: Path) -> None:
    answers = records.open(store / "*")
    figures = measurements.summary(answers.sel(system=["V", "P", "PGD(num_steps=1)"], seed=[0]))
    results = json.loads((folder / "results.json").read_text())["systems"]
    for system, label in (("V", "V"), ("P", "P"), ("PGD(num_steps=1)", "PGD")):
        assert figures.clean_accuracy.sel(system=system).item() == results[label]["clean_accuracy"][0]
    assert {"system", "seed", "example"} <= set(answers.correct.to_dataframe().index.names)


def test_a_study_that_was_stopped_continues_to_the_same_results(
    tmp_path: Path, results: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = cli.parse(study.Config, [*ARGUMENTS, f"--store={tmp_path / 'runs'}", f"--out_dir={tmp_path / 'stopped'}"])
    with monkeypatch.context() as patch:
        patch.setattr(measurements.corrupted, "run", lambda *arguments, **keywords: 1 / 0)
        with pytest.raises(process.Incomplete, match="V, seed 0: ZeroDivisionError"):
            study.run(config)
    continued = study.run(config)
    assert continued["ranking"] == results["ranking"]
    for label, system in results["systems"].items():
        assert json.loads(json.dumps(records.to_json(continued["systems"][label]))) == system


def test_a_run_whose_data_and_directory_were_moved_is_found_and_read(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    rng = np.random.default_rng(0)
    arrays = {f"{kind}_{split}": None for kind in "xy" for split in ("train", "test")}
    for split in ("train", "test"):
        arrays[f"x_{split}"] = rng.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(60) % 3
    np.savez(tmp_path / "old" / "mine.npz", **arrays)
    flags = ["--network=mlp(widths=(4,))", "--num_steps=5", "--log_every=5", "--checkpoint_every=5", "--batch_size=20"]
    flags.append(f"--store={tmp_path / 'runs'}")
    first = train.run(cli.parse(train.Config, [*flags, f"--dataset={tmp_path / 'old' / 'mine.npz'}"]))
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "mine.npz").rename(tmp_path / "new" / "mine.npz")
    Path(first["run_dir"]).rename(tmp_path / "runs" / "renamed")
    again = train.run(cli.parse(train.Config, [*flags, f"--dataset={tmp_path / 'new' / 'mine.npz'}"]))
    assert Path(again["run_dir"]).name == "renamed"
    assert again["test_accuracy"] == first["test_accuracy"]
    assert records.load(tmp_path / "runs" / "renamed").single(jnp.zeros((8, 8, 1))).shape == (3,)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--system=V,vanillla", "'vanillla' is none of .*vanilla, parseval"),
        ("--system=V,V", "has one twice"),
        ("--system=VV(num_steps=3)", "'VV' is none of"),
        ("--corruptions=fogg", "fogg"),
        ("--attacks=pgdd", "'pgdd' is none of"),
        ("--attacks=pgd(steps=3)", "no option 'steps'"),
        ("--radius=-1", "radius must be 0 or greater"),
        ("--radius=8", "did you mean 8/255"),
        ("--radii=0.1,-0.2", "--radii must be positive"),
        ("--certified_radii=-1", "--certified_radii must be 0 or greater"),
        ("--num_points=0", "num_points"),
        ("--network=cnn(channels=(0,))", "--network"),
        ("--dataset=nowhere", "nowhere"),
        ("--system=V(rate=0.1)", "V has no option 'rate'"),
    ],
)
def test_a_wrong_flag_stops_before_any_compute_and_says_what_is_legal(tmp_path: Path, flag: str, message: str) -> None:
    out_dir = tmp_path / "none"
    with pytest.raises(cli.UsageError, match=message.replace("(", r"\(")):
        study.run(cli.parse(study.Config, [*ARGUMENTS, f"--out_dir={out_dir}", flag]))
    assert not out_dir.exists()


def test_robustness_and_slopes_of_one_run_are_those_of_the_study(
    folder: Path, results: dict, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run_of(store, "P")
    done = counted(monkeypatch)
    measured = robustness.run(
        robustness.Config(
            run_dir=str(path),
            corruptions=("brightness", "contrast"),
            attacks=("pgd(num_steps=2)",),
            radius=results["settings"]["radius"],
            progress=False,
        )
    )
    assert done == []
    system = results["systems"]["P"]
    assert measured["clean_accuracy"] == system["clean_accuracy"][0]
    assert measured["corruption_accuracy"]["contrast"] == system["corruption_accuracy"]["contrast"]
    assert measured["attacked_accuracy"] == system["attacked_accuracy"]
    (figure,) = path.glob("robustness-*_corruptions.png")
    (images,) = path.glob("robustness-*_images.svg")
    assert images.read_text().count("<image") == 4 * 8  # clean, attacked, and two corruptions
    assert figure.stat().st_size > 10_000

    slopes = local_lipschitz.run(local_lipschitz.Config(run_dir=str(path), radii=(0.1, 0.5, 1.0), num_points=5))
    np.testing.assert_allclose(slopes["alpha"]["max"], system["alpha"]["max"], rtol=1e-5)
    (points,) = path.glob("lipschitz-*_points.csv")
    assert len(list(csv.DictReader(points.read_text().splitlines()))) == 5
    (steepest,) = path.glob("lipschitz-*_steepest.png")
    assert steepest.stat().st_size > 10_000


def test_commands_hold_the_directory_that_they_write_to(folder: Path, store: Path) -> None:
    path = run_of(store, "V")
    before = sorted(path.rglob("*"))
    with records.hold(path):
        for module in (robustness, local_lipschitz, audit):
            with pytest.raises(records.RunRefused, match="in use by another process"):
                module.run(module.Config(run_dir=str(path), progress=False))
    assert sorted(path.rglob("*")) == before
    with records.hold(folder), pytest.raises(records.RunRefused, match="in use by another process"):
        toy.run(toy.Config(out_dir=str(folder)))


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    for module in (robustness, local_lipschitz):
        with pytest.raises(cli.UsageError, match="can't be read as a training run"):
            module.run(module.Config(run_dir=str(tmp_path / "nothing")))


@pytest.mark.parametrize("preset", study.Config.PRESETS)
def test_a_preset_gives_defaults_that_flags_replace(preset: str) -> None:
    config = cli.parse(study.Config, [f"--preset={preset}", "--num_steps=7"])
    wanted = study.Config.PRESETS[preset] | {"num_steps": (7,)}
    assert {name: getattr(config, name) for name in wanted} == wanted
    ours = dataclasses.replace(config, dataset="fashion_mnist_mini", num_train=200, num_test=100)
    dataset = flags.dataset(ours)
    for _, training in sweep.trainings(ours)[:48]:  # of a zoo, all configurations with the first seed
        train.prepare(training, dataset)


def test_a_training_flag_of_one_system_changes_that_one_only() -> None:
    config = cli.parse(study.Config, ['--system=V,P(optimizer="sgd(momentum=0)", num_steps=7, beta=1e-3)', "--seed=0"])
    (_, plain), (name, changed) = sweep.trainings(config)
    assert (plain.optimizer, plain.num_steps) == (*config.optimizer, *config.num_steps)
    assert (name, changed.system) == ("P", "P(beta=0.001)")
    assert (changed.optimizer, changed.num_steps) == ("sgd(momentum=0)", 7)


def test_names_leave_out_options_unless_they_tell_systems_apart() -> None:
    def names(*systems: str) -> list[str]:
        return [name for name, _ in sweep.trainings(study.Config(system=systems, seed=(0,)))]

    assert names("P(beta=3e-4) + PGD(norm=l2, radius=1/4)") == ["P+PGD"]
    assert names("V", "PGD(radius=1/4)", "PGD(radius=1/2)") == ["V", "PGD(radius=1/4)", "PGD(radius=1/2)"]
    assert names("P(beta=[1e-4, 1e-3], hidden_only=True)") == ["P(beta=0.0001)", "P(beta=0.001)"]


def test_every_flag_with_several_values_makes_cells() -> None:
    arguments = ["--system=V,L(gamma=[0.1,0.2])", "--learning_rate=[1e-3,2e-3]", "--seed=0:2", "--augment=none"]
    chosen = sweep.trainings(cli.parse(sweep.Config, arguments))
    assert len(chosen) == 3 * 2 * 2
    assert {name for name, _ in chosen} == {
        f"{system}, learning_rate={rate}" for system in ("V", "L(gamma=0.1)", "L(gamma=0.2)") for rate in (0.001, 0.002)
    }
    assert {(one.learning_rate, one.seed) for _, one in chosen} == {(r, s) for r in (1e-3, 2e-3) for s in (0, 1)}
