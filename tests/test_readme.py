"""The README's Python runs as it is printed, but for fewer steps and images."""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from lipjax import attacks, evaluation, norms
from lipjax.attacks.suites import Stage, untargeted
from lipjax.losses import cross_entropy
from lipjax.types import Batch

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), flags=re.DOTALL)


def test_the_example_runs(capsys: pytest.CaptureFixture) -> None:
    fewer = BLOCKS[0].replace("num_steps=200", "num_steps=2").replace("inputs[:100]", "inputs[:3]")
    assert fewer.count("num_steps=2,") == fewer.count("inputs[:3]") == 1
    exec(fewer, {})
    alphas, robust, corrupted = capsys.readouterr().out.strip().splitlines()
    assert np.all(np.diff(np.array(alphas.strip("[]").split(), float)) >= 0)
    assert 0.0 <= float(robust) <= 1.0
    assert corrupted.startswith("{'contrast': [")


def test_a_callable_of_ones_own_runs_through_the_benchmark(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(norm: Any, num_classes: int, bounds: Any) -> list[Stage]:
        return [Stage("apgd_ce", lambda r: attacks.apgd(norm, r, num_steps=3), untargeted(cross_entropy), cost=3.0)]

    monkeypatch.setattr(attacks, "cascade", functools.partial(attacks.cascade, suite=short))
    rng = np.random.default_rng(0)
    names = {"Batch": Batch, "attacks": attacks, "evaluation": evaluation, "norms": norms, "key": jax.random.key(0)}
    images, labels = rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8), np.arange(4) % 3
    exec(BLOCKS[1], names | {"images": images, "labels": labels, "weights": rng.normal(size=(64, 3))})
    by_corruption, result = capsys.readouterr().out.strip().splitlines()
    assert by_corruption.count("[") == 15
    assert result.startswith("{'clean': ")
