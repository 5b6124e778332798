"""The README's Python runs as it is printed, but for fewer steps, points and images."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from lipjax import attacks, evaluation, measurements, norms
from lipjax.types import Batch

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), flags=re.DOTALL)


def fewer(block: str, **replaced: str) -> str:
    """A block with less to compute: every replaced text must be in it."""
    for old, new in {"num_steps=200": "num_steps=2", **replaced}.items():
        assert old in block, old
        block = block.replace(old, new)
    return block


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the README's first block defines."""
    found: dict = {}
    exec(fewer(BLOCKS[0], **{"inputs[:100]": "inputs[:3]", "num_steps=7": "num_steps=1"}), found)
    return found


def test_the_first_block_trains_and_measures(names: dict, capsys: pytest.CaptureFixture) -> None:
    maximum = np.asarray(names["curve"].maximum)
    assert maximum.shape == (3,)
    assert np.all(np.diff(maximum) >= 0)


def test_the_whole_study_runs_with_objects_of_ones_own(
    names: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    train, test = names["dataset"].train, names["dataset"].test
    small = names["dataset"]._replace(
        train=Batch(*(part[:200] for part in train)), test=Batch(*(part[:50] for part in test))
    )
    block = fewer(BLOCKS[1], **{"alpha((0.05, 1.0))": "alpha((0.05, 1.0), num_points=3)"})
    exec(block, names | {"dataset": small})
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.split()[:1] in (["V"], ["P"])]
    assert [row[0] for row in rows] == ["V", "P"]
    assert len(list((tmp_path / "runs" / "answers").glob("*.nc"))) == 4 * 5
    exec(block, names | {"dataset": small})
    assert capsys.readouterr().out == printed


def test_a_sweep_trains_what_is_missing(names: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = names | {"asked": [measurements.clean()]}
    exec(fewer(BLOCKS[3]), given)
    assert given["answers"].correct.shape[:2] == (2, 3)
    assert len(list((tmp_path / "runs").glob("*/model.npz"))) == 6


def test_a_callable_of_ones_own_runs_through_the_benchmark(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    given = {"Batch": Batch, "attacks": attacks, "evaluation": evaluation, "norms": norms, "key": jax.random.key(0)}
    images, labels = rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8), np.arange(4) % 3
    exec(BLOCKS[2], given | {"images": images, "labels": labels, "weights": rng.normal(size=(64, 3))})
    by_corruption, result = capsys.readouterr().out.strip().splitlines()
    assert by_corruption.count("[") == 15
    assert result.startswith("{'clean': ")
