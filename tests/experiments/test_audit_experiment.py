"""The audit of trained runs: what it prints and writes, on whole and on broken networks."""

import csv
import json
import math
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import pytest

from experiments import audit, cli, train
from lipjax import networks


class Strange(nn.Module):
    """A network with a layer that no rule is known for."""

    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        x = jnp.cumprod(x.reshape(len(x), -1), axis=1)
        return nn.Dense(self.num_classes, name="logits")(x), {}


STRANGE = networks.linen(Strange(2))


def trained(out_dir: Path, *flags: str) -> Path:
    common = ["--dataset=toy", "--num_steps=5", "--log_every=5", "--checkpoint_every=5", "--batch_size=16"]
    train.run(cli.parse(train.Config, [*common, *flags, f"--out_dir={out_dir}", "--noprogress"]))
    return out_dir


def audited(folder: Path, *flags: str) -> dict:
    return audit.run(cli.parse(audit.Config, [f"--run_dir={folder}", *flags]))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("plain"), "--network=mlp(widths=(8, 8))")


def test_every_layer_is_printed_and_written_with_its_constant(plain: Path, capsys: pytest.CaptureFixture) -> None:
    results = audited(plain)
    printed = capsys.readouterr().out
    written = json.loads((plain / "audit-l2.json").read_text())
    rows = list(csv.DictReader((plain / "audit-l2.csv").read_text().splitlines()))
    assert (
        written["bound"] == results["bound"] == pytest.approx(math.prod(row["constant"] for row in results["layers"]))
    )
    assert written["settings"]["norm"] == "l2"
    for layer, row in zip(written["layers"], rows, strict=True):
        assert float(row["constant"]) == layer["constant"]
        assert (row["side"], row["how"]) == (layer["side"], layer["how"])
        assert f"{layer['constant']:.6g}" in printed
    assert any("dense1" in layer["name"] for layer in written["layers"])


def test_a_steep_layer_is_named(plain: Path) -> None:
    results = audited(plain, "--norm=linf")
    assert results["norm"] == "linf"
    steep = [layer["name"] for layer in results["layers"] if layer["constant"] > 1.0001]
    assert results["exceeding"] == steep != []


def test_a_nonexpansive_network_keeps_its_promise(tmp_path: Path) -> None:
    results = audited(trained(tmp_path, "--network=mlp(widths=(8,))", "--system=L2NN"))
    assert results["exceeding"] == results["unknown"] == []
    assert results["bound"] <= 1.0 + 1e-4


def test_a_layer_without_a_rule_is_unknown_and_nothing_is_promised(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = audited(trained(tmp_path, f"--network={__name__}:STRANGE"))
    operations = {layer["operation"]: layer["side"] for layer in results["layers"]}
    assert operations["cumprod"] == "unknown"
    assert operations["dense"] == "exact"
    assert len(results["unknown"]) == 1
    assert results["bound"] == math.inf
    assert json.loads((tmp_path / "audit-l2.json").read_text())["bound"] == "Infinity"
    assert "unknown: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--run_dir=nowhere", "nowhere can't be read as a training run"),
        ("--norm=l3", "l3"),
        ("--tolerance=-1", "--tolerance must be 0 or greater, got -1"),
    ],
)
def test_a_wrong_flag_is_told_without_a_traceback(plain: Path, flag: str, message: str) -> None:
    with pytest.raises(cli.UsageError, match=message):
        audited(plain, flag)
