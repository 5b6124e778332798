import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

import lipjax
from experiments import cli, flags, measuring, process, train
from lipjax import evaluation, records
from lipjax.measurements import Parts

pytestmark = pytest.mark.shipped  # runs that were killed end with the same bits

ROOT = Path(__file__).parents[2]
TOY = ["--dataset=toy", "--network=mlp(widths=(8,))", "--batch_size=16"]
KILLED = [*TOY, "--system=laplacian", "--num_steps=300", "--log_every=10", "--checkpoint_every=20"]


def command(*arguments: str) -> int:
    """The exit code of the command in this process."""
    try:
        process.main(train.Config, train.run, train.__doc__, arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def start(out_dir: Path) -> subprocess.Popen:
    line = [sys.executable, "-m", "experiments.train", *KILLED, f"--out_dir={out_dir}"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def kill_when(process: subprocess.Popen, moment: Callable[[], bool]) -> None:
    while not moment():
        assert process.poll() is None, "the run ended before the moment came"
        time.sleep(0.0005)
    process.kill()
    process.communicate()


def after_lines(out_dir: Path, count: int) -> Callable[[], bool]:
    return lambda: len(records.read_metrics(out_dir)) >= count


def while_a_checkpoint_is_written(out_dir: Path, last: int) -> Callable[[], bool]:
    def moment() -> bool:
        names = [path.name for path in (out_dir / "checkpoints").glob("*")]
        return any("tmp" in name and int(name.split(".")[0]) > last for name in names)

    return moment


def parameters(out_dir: Path) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(records.load(out_dir).variables)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("uninterrupted")
    finish(start(out_dir))
    return out_dir


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    early, late = random.Random(0).sample(range(1, 9), 2)
    kill_when(start(tmp_path), after_lines(tmp_path, early))
    kill_when(start(tmp_path), while_a_checkpoint_is_written(tmp_path, last=10 * early))
    kill_when(start(tmp_path), after_lines(tmp_path, 10 + late))
    kill_when(start(tmp_path), while_a_checkpoint_is_written(tmp_path, last=10 * (10 + late)))
    finish(start(tmp_path))
    assert parameters(tmp_path) == parameters(uninterrupted)
    for name in ("metrics.jsonl", "config.json"):
        assert (tmp_path / name).read_text() == (uninterrupted / name).read_text()
    ours, theirs = (records.read_json(path / "results.json") for path in (tmp_path, uninterrupted))
    assert ours["test_accuracy"] == theirs["test_accuracy"]


def test_a_second_command_on_a_directory_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with records.open_run(tmp_path, {}):
        assert command(*TOY, f"--out_dir={tmp_path}") == 2
    assert "in use by another process" in capsys.readouterr().err


def test_a_run_is_read_back_as_the_model_that_was_trained(tmp_path: Path) -> None:
    config = train.Config(
        system="parseval+laplacian(weight=1e-6)",
        network="mlp(widths=(16, 8))",
        num_train=200,
        num_test=100,
        num_steps=20,
        batch_size=50,
        log_every=10,
        checkpoint_every=20,
        augment="random_crop(padding=2)+flip_left_right",
        out_dir=str(tmp_path),
    )
    results = train.run(config)
    assert results["test_accuracy"] > 0.2
    assert json.loads((tmp_path / "results.json").read_text()) | {"run_dir": str(tmp_path)} == records.to_json(results)
    terms = records.read_metrics(tmp_path)[-1]
    assert set(terms) == {"step", "loss", "accuracy", "cross_entropy", "laplacian"}
    assert records.read_json(tmp_path / "flags.json") == cli.settings(config)
    assert evaluation.accuracy(lipjax.load(tmp_path), flags.dataset(config).test) == results["test_accuracy"]
    trained = measuring.trained(measuring.RunFlags(run_dir=str(tmp_path)))
    assert trained.system == config.system
    assert evaluation.accuracy(trained.model, trained.dataset.test) == results["test_accuracy"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--system=lipschitz", "'lipschitz' is none of "),
        ("--system=parseval+l2_nonexpansive", "--system: at most one of the combined systems may choose the layers"),
        ("--system=laplacian(weight=-1)", "weight must be 0 or greater, got -1"),
        ("--network=cnn(depth=3)", "cnn has no option 'depth'; it has"),
        ("--network=mlp+cnn", "'mlp+cnn' has several names"),
        ("--optimizer=sgd(", "'sgd(' is not of the form"),
        ("--learning_rate=-0.1", "must be positive, got -0.1"),
        ("--schedule=linear", "'linear' is none of constant, cosine, drops"),
        ("--augment=rotate", "'rotate' is none of random_crop, flip_left_right"),
        ("--dataset=no_such_set", "--dataset: "),
        ("--num_train=100000", "num_train must be at most 5000"),
        ("--num_steps=many", "flag --num_steps=many"),
        ("--num_steps=0", "flag --num_steps=0"),
        ("--batch_size=5001", "--batch_size must be at most the 5000 training examples, got 5001"),
        ("--num_devices=3", "--num_devices must be at most"),
        ("--checkpoint_every=70", "--checkpoint_every must be a multiple of --log_every, got 70 and 50"),
        ("--steps=3", "Unknown command line flag 'steps'"),
        ("system=V", "'system=V' is not a flag"),
    ],
)
def test_a_wrong_flag_stops_before_compute_and_names_what_is_legal(
    flag: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert command("--network=mlp(widths=(8,))", f"--out_dir={tmp_path / 'run'}", flag) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


def test_a_directory_of_other_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = train.Config(dataset="toy", network="mlp", batch_size=16)
    dataset = flags.dataset(config)
    with records.open_run(tmp_path, train.prepare(config, dataset).settings(Parts(dataset))):
        pass
    assert command("--dataset=toy", "--network=mlp", "--batch_size=16", "--seed=1", f"--out_dir={tmp_path}") == 2
    assert "seed was 0, now 1" in capsys.readouterr().err


def test_a_diverging_run_stops_with_step_and_term(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert command(*TOY, "--learning_rate=1e30", "--schedule=constant", f"--out_dir={tmp_path}") == 1
    assert "training stopped: cross_entropy is not finite at step" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("name", ["flags.json", "model.json", "model.npz"])
@pytest.mark.parametrize("content", [None, "{}", "[1]", '{"seed": '])
def test_what_is_no_training_run_is_not_read(name: str, content: str | None, tmp_path: Path) -> None:
    config = train.Config(dataset="toy", network="mlp(widths=(4,))", batch_size=16, num_steps=1, out_dir=str(tmp_path))
    train.run(config)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(cli.UsageError, match="can't be read as a training run"):
        measuring.trained(measuring.RunFlags(run_dir=str(tmp_path)))


def test_the_same_training_in_other_words_is_the_same_run(tmp_path: Path) -> None:
    shared = {"store": str(tmp_path), "dataset": "toy", "network": "mlp(widths=(4,))", "batch_size": 16, "num_steps": 1}
    first = train.run(train.Config(system="parseval(beta=3e-4)", **shared))
    again = train.run(train.Config(system="P(beta=0.0003)", log_every=1, checkpoint_every=1, num_test=20, **shared))
    other = train.run(train.Config(system="P(beta=0.003)", **shared))
    assert again["run_dir"] == first["run_dir"] != other["run_dir"]


def test_help_explains_every_flag_with_its_unit(capsys: pytest.CaptureFixture) -> None:
    assert command("--help") == 0
    text = capsys.readouterr().out
    assert "python -m experiments.train" in text
    assert "--num_steps=1000\n      Length of the training. In updates." in text
    assert all(f"--{name}=" in text for name in train.Config.__dataclass_fields__)
