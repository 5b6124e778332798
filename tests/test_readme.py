"""The README's Python runs as it is printed, but for fewer steps, points and images."""

import re
from pathlib import Path

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lipjax import attacks, evaluation, measurements, networks, norms
from lipjax.types import Batch

TEXT = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


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


def module_of(framework: str) -> dict:
    """A module as a user has it: what the README's lines start from."""
    if framework == "flax.linen":
        variables = {"params": {"layers_1": {"kernel": np.ones((3072, 2)), "bias": np.zeros(2)}}}
        return {"module": nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(2)]), "variables": variables}
    if framework == "flax.nnx":
        linear = nnx.Linear(3072, 2, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))
        return {"module": nnx.Sequential(lambda x: x.reshape(len(x), -1), linear)}
    if framework == "equinox":
        linear = eqx.filter_eval_shape(lambda: eqx.nn.Linear(3072, 2, key=jax.random.key(0)))
        filled = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), linear)
        return {"module": eqx.nn.Sequential([eqx.nn.Lambda(jnp.ravel), filled])}
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install lipjax[torch]")
    return {"module": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2))}


LINES = dict(re.findall(r"^\| (\S+) \| `(networks\.from_\w+\(.*\))` \|$", TEXT, flags=re.MULTILINE))


@pytest.mark.parametrize("framework", ["flax.linen", "flax.nnx", "equinox", "PyTorch"])
def test_a_module_of_another_framework_is_a_model_in_the_line_that_is_shown(framework: str) -> None:
    names = {"networks": networks, "jnp": jnp, **module_of(framework)}
    assert eval(LINES[framework], names).single(jnp.zeros((32, 32, 3))).shape == (2,)
