"""The command that tests a claim about a trained network."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, refute, train


def test_a_claim_is_refuted_and_its_witness_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--dataset=toy", "--network=mlp(widths=(4,))", "--num_steps=5", "--log_every=5", "--checkpoint_every=5"]
    train.run(cli.parse(train.Config, [*flags, f"--out_dir={tmp_path}", "--noprogress"]))
    results = refute.run(cli.parse(refute.Config, [f"--run_dir={tmp_path}", "--claimed=1e-3"]))
    assert results["verdict"] == "false"
    (pair,) = tmp_path.glob("refute-l2-*.npz")
    assert json.loads(pair.with_suffix(".json").read_text())["quotient"] == results["quotient"]
    printed = capsys.readouterr().out
    assert "is false" in printed
    assert str(pair) in printed
    with np.load(pair) as witness:
        rise = np.maximum(np.abs(np.subtract(*witness["outputs"])) - witness["rounding"], 0.0)
        quotient = np.linalg.norm(rise.ravel()) / np.linalg.norm(np.subtract(*witness["pair"]).ravel())
        assert quotient == pytest.approx(results["quotient"])

    before = pair.read_bytes()
    refute.run(cli.parse(refute.Config, [f"--run_dir={tmp_path}", "--claimed=1e-3", "--radius=0.1"]))
    assert len(list(tmp_path.glob("refute-l2-*.npz"))) == 2
    assert pair.read_bytes() == before
    with pytest.raises(cli.UsageError, match="claimed"):
        refute.run(cli.parse(refute.Config, [f"--run_dir={tmp_path}", "--claimed=-1"]))
