"""The command on a small run: what it writes, and that lower values are below upper bounds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, local_lipschitz, train
from lipjax import bounds, estimators

RUN = ["--network=mlp(widths=(8,))", "--num_train=100", "--num_test=20", "--num_steps=10"]
QUICK = ["--num_points=6", "--radii=0.1,0.5,1.0", "--num_bounded_points=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained run that was measured."""
    path = tmp_path_factory.mktemp("lipschitz") / "run"
    train.run(cli.parse(train.Config, [*RUN, f"--out_dir={path}"]))
    estimator = "--estimator=growing_slope(num_samples=2, num_steps=2, num_restarts=1)"
    local_lipschitz.run(cli.parse(local_lipschitz.Config, [*QUICK, estimator, f"--run_dir={path}"]))
    return path


def written(folder: Path, ending: str) -> Path:
    """What the first command wrote."""
    return min(folder.glob(f"lipschitz-*{ending}"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def alpha(folder: Path) -> dict:
    return json.loads(written(folder, ".json").read_text())["alpha"]


def test_the_bracket_says_what_it_is_of_and_which_side_is_which(alpha: dict) -> None:
    assert (alpha["definition"], alpha["of"], alpha["norm_in"], alpha["norm_out"]) == (
        "slope",
        "probabilities",
        "l2",
        "l2",
    )
    assert alpha["side"] == {"max, mean, quantiles": "lower", "upper, upper_mean": "upper"}
    assert alpha["estimator"].startswith("growing_slope(")
    assert "num_samples=2, num_steps=2, num_restarts=1" in alpha["estimator"]
    assert (alpha["num_points"], alpha["num_bounded_points"]) == (6, 2)


def test_lower_values_are_below_upper_bounds(folder: Path, alpha: dict) -> None:
    assert np.all(np.array(alpha["max"]) <= alpha["upper"])
    assert np.all(np.array(alpha["mean"]) <= alpha["upper_mean"])
    rows = list(csv.DictReader(written(folder, "_points.csv").read_text().splitlines()))
    lower = np.array([[float(row[f"slope at {r}, lower"]) for r in ("0.1", "0.5", "1")] for row in rows])
    upper = np.array([[float(row[f"slope at {r}, upper"]) for r in ("0.1", "0.5", "1")] for row in rows])
    np.testing.assert_allclose(lower.max(0), alpha["max"], rtol=1e-6)
    np.testing.assert_allclose(upper.max(0), alpha["upper"], rtol=1e-6)
    assert np.all(lower <= upper)
    assert np.all(upper <= 0.5001 * alpha["global_bound_of_logits"])


def test_every_figure_is_written(folder: Path) -> None:
    for name in ("alpha", "points", "steepest"):
        assert written(folder, f"_{name}.png").stat().st_size > 10_000
        assert written(folder, f"_{name}.svg").read_text().startswith("<svg")


def test_the_pairwise_constant_is_measured_by_name(folder: Path) -> None:
    chosen = "--estimator=pairwise_slope(num_samples=2, num_steps=2, num_restarts=1)"
    flags = [*QUICK, chosen, "--of=logits", f"--run_dir={folder}"]
    alpha = local_lipschitz.run(cli.parse(local_lipschitz.Config, flags))["alpha"]
    assert (alpha["definition"], alpha["of"]) == ("pairwise", "logits")
    assert np.all(alpha["max"] <= alpha["upper"])


def test_a_bracket_the_wrong_way_round_stops_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = bounds.UpperCurve(np.zeros((6, 3)), 0.0, 0, np.full((6, 3), "global"))
    monkeypatch.setattr(bounds, "upper_curve", lambda *arguments, **keywords: nothing)
    sampled = "--estimator=sampled_slope(num_samples=2)"
    with pytest.raises(bounds.BracketError, match="radius"):
        local_lipschitz.run(cli.parse(local_lipschitz.Config, [*QUICK, sampled, f"--run_dir={folder}"]))


def test_the_preset_talk_is_the_protocol_of_the_talk() -> None:
    config = cli.parse(local_lipschitz.Config, ["--preset=talk"])
    assert config.radii == estimators.TALK_RADII
    np.testing.assert_allclose(config.radii, 1.75 * np.arange(1, 31) / 30)
    assert (config.num_points, config.norm_in, config.norm_out, config.of) == (1000, "l2", "l2", "probabilities")
    assert config.estimator == "talk_slope"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--estimator=slop", "'slop' is none of .*growing_slope"),
        ("--estimator=growing_slope(steps=3)", "growing_slope has no option 'steps'; it has .*num_samples"),
        ("--bound=exact", "bound"),
        ("--num_bounded_points=-1", "num_bounded_points"),
    ],
)
def test_a_wrong_flag_is_named(flag: str, message: str) -> None:
    with pytest.raises(cli.UsageError, match=message.replace("(", r"\(")):
        cli.parse(local_lipschitz.Config, [flag])
