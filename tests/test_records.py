import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lipjax import records


class Record(NamedTuple):
    value: jax.Array
    where: Path


def state(seed: int = 0) -> dict:
    params = {"dense": {"kernel": jax.random.normal(jax.random.key(seed), (40, 30))}}
    return {
        "step": jnp.array(7),
        "params": params,
        "state": {},
        "optimizer": optax.chain(optax.trace(0.9), optax.scale_by_schedule(lambda step: step)).init(params),
        "key": jax.random.key(seed + 1),
        "low": jnp.array([1.5, -2.25], jnp.bfloat16),
    }


def bits(tree: object) -> list[tuple]:
    def raw(leaf: jax.Array) -> np.ndarray:
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return [(str(leaf.dtype), leaf.shape, raw(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def data_file(run_dir: Path, step: int) -> Path:
    """The file that holds the arrays of a checkpoint: the largest."""
    return max((run_dir / "checkpoints" / str(step)).rglob("*"), key=lambda path: path.stat().st_size)


def test_a_run_without_checkpoints_has_no_folder_for_them(tmp_path):
    with records.open_run(tmp_path, {"seed": 0}) as run:
        run.finish({"accuracy": 0.5})
    assert not (tmp_path / "checkpoints").exists()


def test_numpy_and_jax_values_become_plain_json() -> None:
    value = {"a": np.float32(0.5), 2: jnp.arange(3), "c": Record(np.int64(4), Path("x/y")), "d": (True, None)}
    written = json.dumps(records.to_json(value), allow_nan=False)
    assert json.loads(written) == {
        "a": 0.5,
        "2": [0, 1, 2],
        "c": {"value": 4, "where": "x/y"},
        "d": [True, None],
    }


def test_numbers_that_are_not_finite_are_strings_that_float_reads() -> None:
    values = records.to_json([np.nan, np.inf, jnp.array(-jnp.inf)])
    assert values == ["NaN", "Infinity", "-Infinity"]
    np.testing.assert_array_equal([float(value) for value in values], [np.nan, np.inf, -np.inf])


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError, match="function has no JSON form"):
        records.to_json({"loss": lambda: 0})


def test_a_write_that_dies_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    records.write_json(path, {"accuracy": 0.9})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        records.write_json(path, {"accuracy": 0.1})
    assert records.read_json(path) == {"accuracy": 0.9}


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match=r"config\.json is not a JSON file"):
        records.read_json(tmp_path / "config.json")


def test_a_state_comes_back_bit_for_bit_with_its_structure(tmp_path: Path) -> None:
    saved = state()
    with records.open_run(tmp_path, {}) as run:
        run.save(7, saved)
    with records.open_run(tmp_path, {}) as run:
        restored = run.restore(state(seed=5))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    assert bits(restored) == bits(saved)


def test_a_directory_without_checkpoints_gives_the_template(tmp_path: Path) -> None:
    template = state()
    with records.open_run(tmp_path, {}) as run:
        assert run.restore(template) is template


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    with records.open_run(tmp_path, {}, num_checkpoints=2) as run:
        for step in (1, 2, 3, 4):
            run.save(step, {"w": jnp.array(float(step))})
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def change_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [tear, change_one_byte, Path.unlink])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage) -> None:
    with records.open_run(tmp_path, {}) as run:
        run.save(1, state(1))
        run.save(2, state(2))
        run.log(1, {"loss": 1.0})
        run.log(2, {"loss": 0.5})
    damage(data_file(tmp_path, 2))
    with records.open_run(tmp_path, {}) as run:
        with pytest.warns(UserWarning, match="checkpoint 2 .* can't be read"):
            assert bits(run.restore(state())) == bits(state(1))
        assert [line["step"] for line in records.read_metrics(tmp_path)] == [1]
        run.save(2, state(3))
        assert bits(run.restore(state())) == bits(state(3))


def test_checkpoints_of_another_network_are_refused_and_kept(tmp_path: Path) -> None:
    with records.open_run(tmp_path, {}) as run:
        run.save(1, state())
    with records.open_run(tmp_path, {}) as run:
        with pytest.warns(UserWarning, match="checkpoint 1 .* can't be read"):
            with pytest.raises(records.RunRefused, match="from another version of the network"):
                run.restore({"other": jnp.zeros(3)})
        assert bits(run.restore(state(9))) == bits(state())


def test_metrics_after_the_restored_state_are_removed(tmp_path: Path) -> None:
    with records.open_run(tmp_path, {}) as run:
        for step in (1, 2, 3):
            run.log(step, {"loss": 1 / step})
            if step == 2:
                run.save(step, {"w": jnp.zeros(2)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert len(records.read_metrics(tmp_path)) == 3
    with records.open_run(tmp_path, {}) as run:
        run.restore({"w": jnp.zeros(2)})
        run.log(3, {"loss": np.float32(np.nan)})
    assert records.read_metrics(tmp_path) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": "NaN"},
    ]


def test_metrics_without_a_checkpoint_start_again(tmp_path: Path) -> None:
    with records.open_run(tmp_path, {}) as run:
        run.log(1, {"loss": 1.0})
        run.restore({"w": jnp.zeros(2)})
    assert records.read_metrics(tmp_path) == []


def test_other_settings_are_refused_by_their_names(tmp_path: Path) -> None:
    with records.open_run(tmp_path, {"seed": 0, "radius": 0.1, "widths": (3, 4)}):
        pass
    with records.open_run(tmp_path, {"seed": 0, "radius": 0.1, "widths": [3, 4]}):
        pass
    message = r"radius was 0\.1, now 0\.2, steps was None, now 5$"
    with pytest.raises(records.RunRefused, match=message):
        with records.open_run(tmp_path, {"seed": 0, "radius": 0.2, "widths": (3, 4), "steps": 5}):
            pass


def test_a_directory_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(records.RunRefused, match="can't make the run directory"),
        records.open_run(tmp_path / "file", {}),
    ):
        pass


@pytest.mark.parametrize("text", ['{"seed": ', "3", ""])
def test_a_directory_whose_settings_can_not_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(records.RunRefused, match="can't be read"), records.open_run(tmp_path, {"seed": 0}):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from lipjax import records
from lipjax.records.files import replacing
with records.open_run(sys.argv[1], {}), replacing(Path(sys.argv[1], "results.json")) as partial:
    partial.write_text("to be")
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_killed_and_clears_what_it_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(records.RunRefused, match="in use by another process"):
            with records.open_run(tmp_path, {}):
                pass
        holder.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.glob(".results.*.partial.json"))) == 1
    with records.open_run(tmp_path, {}) as run:
        run.finish({"done": True})
    assert records.read_json(tmp_path / "results.json") == {"done": True}
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.json", "results.json"}


def test_the_environment_names_the_versions_and_the_device() -> None:
    environment = records.environment()
    assert environment["versions"]["jax"] == jax.__version__
    assert environment["device"] == jax.devices()[0].device_kind
    json.dumps(environment, allow_nan=False)


def test_a_journal_computes_a_name_once_and_survives_its_process(tmp_path: Path) -> None:
    path, calls = tmp_path / "journal.json", []

    def compute() -> dict:
        calls.append(1)
        return {"max": np.array([0.5, np.inf]), "n": np.int64(3)}

    first = records.Journal(path).get("V", compute)
    again = records.Journal(path).get("V", compute)
    assert first == again == {"max": [0.5, "Infinity"], "n": 3}
    assert len(calls) == 1


def test_a_computation_that_fails_is_not_journalled(tmp_path: Path) -> None:
    journal = records.Journal(tmp_path / "journal.json")
    with pytest.raises(ZeroDivisionError):
        journal.get("V", lambda: 1 / 0)
    assert "V" not in records.Journal(tmp_path / "journal.json")
    assert journal.get("V", lambda: 2) == 2


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with records.open_run("~/run", {}):
        assert (tmp_path / "run").is_dir()
        assert not (tmp_path / "~").exists()
