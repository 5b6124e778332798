"""What each tracker is told of a training, read back from what its own library wrote."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import process, train
from lipjax import records
from lipjax.training import Log, Tracker, mlflow, tensorboard, wandb

SETTINGS = {"system": "V", "seed": 3}
FLAGS = ("--dataset=toy", "--network=mlp(widths=(8,))", "--num_steps=20", "--log_every=10", "--checkpoint_every=10")
TOLD: list[Any] = []


class remembered(Tracker):
    fails: bool = False

    @contextlib.contextmanager
    def start(self, path: Path, settings: dict[str, Any]) -> Iterator[Log]:
        TOLD.append((path, settings["system"]))
        yield lambda step, metrics: TOLD.append((step, dict(metrics)))


def test_a_command_tells_a_tracker_of_ones_own_what_metrics_jsonl_has(tmp_path: Path) -> None:
    TOLD.clear()
    flags = (*FLAGS, f"--log={__name__}:remembered", f"--out_dir={tmp_path / 'run'}")
    process.main(train.Config, train.run, "", flags)
    begun, *lines, ended = TOLD
    assert begun == (tmp_path / "run", "vanilla")
    written = records.read_metrics(tmp_path / "run")
    assert [{"step": step} | metrics for step, metrics in lines] == written
    assert ended[0] == 20
    assert ended[1].keys() == {"train_accuracy", "test_accuracy"}


def test_a_tracker_without_its_library_is_refused_before_compute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(SystemExit) as end:
        process.main(train.Config, train.run, "", (*FLAGS, "--log=wandb", f"--out_dir={tmp_path / 'run'}"))
    assert end.value.code == 2
    assert "--log: wandb: needs wandb, which is not installed: pip install wandb" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_tensorboard_has_every_scalar_at_its_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    with tensorboard().start(tmp_path, SETTINGS) as log:
        log(50, {"loss": 0.5})
        log(100, {"loss": 0.25, "accuracy": 1.0})
    (path,) = (tmp_path / "tensorboard").iterdir()
    content, found = path.read_bytes(), []
    while content:  # a length with its checksum, an event with its own
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    assert {(50, "loss", 0.5), (100, "loss", 0.25), (100, "accuracy", 1.0)} <= set(found)


def test_mlflow_has_every_metric_at_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with mlflow().start(tmp_path / "run", SETTINGS) as log:
        log(50, {"loss": 0.5})
        log(100, {"loss": 0.25})
    client = library.MlflowClient()
    (shown,) = client.search_runs([client.get_experiment_by_name("lipjax").experiment_id])
    assert (shown.info.run_name, shown.info.status, shown.data.params["system"]) == ("run", "FINISHED", "V")
    history = client.get_metric_history(shown.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(50, 0.5), (100, 0.25)]


def test_wandb_keeps_a_run_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    with wandb(mode="offline").start(tmp_path, SETTINGS) as log:
        log(50, {"loss": 0.5})
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
