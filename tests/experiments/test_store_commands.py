"""`list` and `compare`: what runs there are and how they compare, on a small sweep, also with parts missing."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from experiments import cli, compare, list, sweep, verdict
from lipjax import records, statistics

ARGUMENTS = [
    "--network=mlp(widths=(8,))",
    "--system=V,L(gamma=[0.1,0.2])",
    "--seed=0:2",
    "--num_train=200",
    "--num_test=60",
    "--num_steps=10",
    "--corruptions=brightness",
    "--attacks=pgd(num_steps=1)",
    "--num_points=3",
    "--radii=0.1,0.5",
    "--num_bounded_points=0",
    "--progress=false",
    "--num_workers=1",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, with an unfinished run."""
    folder = tmp_path_factory.mktemp("store")
    found = sweep.run(cli.parse(sweep.Config, [*ARGUMENTS, f"--store={folder}", f"--out_dir={folder}/out"]))
    assert found["failures"] == {}
    with records.open_run(folder / "stopped", {"seed": 5}):
        pass
    return folder


def test_a_list_says_what_is_finished_and_what_is_not(store: Path, capsys: pytest.CaptureFixture) -> None:
    runs = list.run(cli.parse(list.Config, [f"{store}/*"]))
    assert sorted(run.state for run in runs if run.name != "out") == ["finished"] * 6 + ["stopped"]
    shown = capsys.readouterr().out
    assert "alpha attacked certified clean corrupted" in shown


def test_a_list_is_filtered_and_sorted(store: Path) -> None:
    arguments = [f"{store}/*", "--system=L", "--sort=test_accuracy", "--descending"]
    runs = list.run(cli.parse(list.Config, arguments))
    accuracies = [run.test_accuracy for run in runs]
    assert len(runs) == 4
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_run_that_is_held_is_running(store: Path) -> None:
    with records.hold(store / "stopped"):
        (run,) = records.listed([store / "stopped"])
    assert run.state == "running"


@pytest.mark.parametrize("form", compare.FORMATS)
def test_a_comparison_has_means_intervals_and_paired_tests(
    store: Path, form: str, capsys: pytest.CaptureFixture
) -> None:
    rows = compare.run(cli.parse(compare.Config, [f"{store}/*seed*", f"--format={form}", "--baseline=V"]))
    assert {row["system"] for row in rows} == {"V", "L(gamma=0.1)", "L(gamma=0.2)"}
    answers = records.open(f"{store}/*seed*")
    (plain,) = (row for row in rows if row["system"] == "V")
    clean = 100 * answers.correct.sel(system="V").astype(float).mean("example").values
    half = scipy.stats.t.ppf(0.975, 1) * clean.std(ddof=1) / np.sqrt(2)
    assert plain["clean %"] == f"{clean.mean():.1f} ± {half:.2g}"
    assert plain["p, clean"] == ""
    assert all(name in capsys.readouterr().out.replace("\\", "") for name in ("L(gamma=0.1)",))


def test_the_test_of_two_systems_is_that_of_signs_where_there_is_one_seed() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random(400) < 0.7).astype(float), (rng.random(400) < 0.6).astype(float)
    wins, losses = int(((first - second) > 0).sum()), int(((first - second) < 0).sum())
    expected = 2 * scipy.stats.norm.sf(abs(wins - losses) / np.sqrt(wins + losses))
    assert compare._signed_rank(first, second) == pytest.approx(expected, rel=1e-6)
    assert np.isnan(compare._signed_rank(first, first))


def test_runs_of_which_different_things_were_measured_open_together(store: Path, tmp_path: Path) -> None:
    paths = sorted(path for path in store.iterdir() if "seed" in path.name)
    for path in paths[:2]:
        (tmp_path / path.name / "measurements").mkdir(parents=True)
        for name in ("flags.json", "config.json"):
            (tmp_path / path.name / name).write_bytes((path / name).read_bytes())
        kept = [record for record in (path / "measurements").glob("*") if path == paths[0] or "clean" in record.name]
        for record in kept:
            (tmp_path / path.name / "measurements" / record.name).write_bytes(record.read_bytes())
    answers = records.open(f"{tmp_path}/*")
    assert answers.correct.notnull().all()
    assert 0 < int(answers.withstood.isnull().sum()) < answers.withstood.size


def test_the_verdict_is_of_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    configuration = np.repeat([f"{family}(x={x})" for family in "ABCDE" for x in range(4)], 2)
    family = np.array([verdict.family_of(name) for name in configuration])
    alpha = np.repeat(rng.permutation(np.arange(20.0)), 2) + 0.1 * rng.normal(size=40)
    targets = {verdict.PRIMARY[0]: -alpha, verdict.PRIMARY[1]: alpha, "corrupted accuracy": rng.normal(size=40)}
    found = verdict.of(verdict.Networks(configuration, family, alpha, rng.normal(size=40), targets))
    said = [one["says"] for one in found["targets"].values()]
    assert said[:2] == ["as the talk says", "the opposite"]
    assert found["targets"][verdict.PRIMARY[0]]["tau"] == pytest.approx(-1)
    assert (found["num_networks"], found["num_configurations"]) == (40, 20)
    assert found["smallest_detectable_tau"] == statistics.smallest_detectable_tau(20)
    assert len(verdict.rows(found)) == 3


def test_four_configurations_allow_no_verdict() -> None:
    names = np.array(["A", "B", "C", "D"])
    numbers = np.arange(4.0)
    found = verdict.of(verdict.Networks(names, names, numbers, numbers, {verdict.PRIMARY[0]: numbers}))
    assert found["targets"] == {}
    assert "too few" in verdict.sentences(found)[0]
