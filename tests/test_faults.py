"""Faults of files and of the machine: each is told, and costs no more than what was damaged."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import corrupt, process, toy
from lipjax import compatibility, datasets, norms, records
from lipjax.bounds import BracketError
from lipjax.records.checkpoints import Checkpoints

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)
LABELS = np.arange(30) % 3
ROOT = Path(__file__).parents[1]


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("content", ['{"accuracy": 0', "[1, 2]", "null", "", "\xff", "[" * 20_000])
def test_a_damaged_journal_is_set_aside_and_computed_again(content: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text(content, encoding="latin-1")
    with pytest.warns(UserWarning, match=r"journal.json is set aside as journal.json.damaged and computed again"):
        assert records.Journal(path).get("accuracy", lambda: 0.5) == 0.5
    assert (tmp_path / "journal.json.damaged").read_text(encoding="latin-1") == content
    assert records.Journal(path).get("accuracy", lambda: 0.1) == 0.5


@pytest.mark.parametrize("damage", [tear, flip, empty])
def test_a_damaged_count_of_pairs_is_counted_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    def counted() -> np.ndarray:
        counting = compatibility.Counting(journal_dir=tmp_path)
        return compatibility.pair_distances(IMAGES, LABELS, norms.l1, thresholds=[0.5], counting=counting).histogram

    first = counted()
    (journal,) = tmp_path.glob("*.npz")
    damage(journal)
    with pytest.warns(UserWarning, match="is set aside as .* and counted again"):
        np.testing.assert_array_equal(counted(), first)
    np.testing.assert_array_equal(counted(), first)


def test_a_damaged_array_of_corrupted_images_is_computed_again(tmp_path: Path) -> None:
    asked = corrupt.Config(
        num_test=3, severities=(1,), corruptions=("contrast",), out_dir=str(tmp_path), progress=False
    )
    path = corrupt.run(asked)[1]
    good = path.read_bytes()
    for damage in (flip, tear):
        damage(path)
        with pytest.warns(UserWarning, match=r"contrast.npy is set aside as contrast.npy.damaged and computed again"):
            corrupt.run(asked)
        assert path.read_bytes() == good


def test_a_run_that_was_refused_leaves_its_directory_to_other_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="late"), records.open_run(tmp_path / "run", {"rate": -1}):
        raise ValueError("found late")
    with records.open_run(tmp_path / "run", {"rate": 1}) as run:
        run.log(1, {"loss": 0.5})
    with pytest.raises(ValueError, match="late"), records.open_run(tmp_path / "run", {"rate": 1}):
        raise ValueError("found late")
    with pytest.raises(records.RunRefused, match="other settings"), records.open_run(tmp_path / "run", {"rate": 2}):
        pass


def test_a_damaged_line_of_metrics_costs_that_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st\xffp": 2\n7\n{"step": 3}\n')
    assert records.read_metrics(tmp_path) == [{"step": 1}, {"step": 3}]


def test_a_directory_that_can_not_be_locked_or_written_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(records.RunRefused, match="can't make the run directory"), records.hold(tmp_path / "file" / "x"):
        pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with pytest.raises(records.RunRefused, match="can't write into"), records.hold(tmp_path / "run"):
        pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: [Errno 28] No space left on device\n"),
        (OSError(errno.EMFILE, "Too many open files"), "error: [Errno 24] Too many open files\n"),
        (IsADirectoryError("results.json"), "error: results.json\n"),
        (MemoryError(), "error: MemoryError\n"),
        (BracketError("V: at point 0\nthe lower value"), "error: V: at point 0 the lower value\n"),
        (OSError("a \x1b[31mred\x07 name"), "error: a \\x1b[31mred\\x07 name\n"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Exception) else "",
)
def test_a_fault_of_the_machine_ends_a_command_with_one_line(
    error: Exception, told: str, capsys: pytest.CaptureFixture
) -> None:
    def run(config: toy.Config) -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        process.main(toy.Config, run, "", [])
    assert end.value.code == 1
    assert capsys.readouterr().err == told


def test_class_names_of_any_bytes_can_be_shown() -> None:
    names = ("caf\xe9 $x$", "a\udcff\x1b[31m")
    found = datasets.from_arrays("mine", (IMAGES, LABELS % 2), (IMAGES, LABELS % 2), class_names=names)
    assert found.class_names == ("café $x$", r"a\udcff\x1b[31m")


def test_a_disk_that_is_full_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    records.write_json(path, {"accuracy": 0.5})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        records.write_json(path, {"accuracy": 0.7})
    assert records.read_json(path) == {"accuracy": 0.5}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


STATE = {"w": np.arange(50_000, dtype=np.float32)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes; `mount -o remount,size=` makes it larger."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path], capture_output=True)
    if made.returncode:
        pytest.skip(f"can't mount a tmpfs: {made.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_disk_that_runs_full_keeps_the_last_checkpoint_and_then_continues(small_disk: Path) -> None:
    checkpoints, template = Checkpoints(small_disk / "checkpoints", keep=None), jax.device_put(STATE)
    num_saved = 0
    with pytest.raises(OSError, match=r"No space left .*; that of step \d+ is whole") as fault:  # noqa: PT012
        while num_saved < 40:
            checkpoints.save(num_saved + 1, template)
            num_saved += 1
    assert fault.value.errno == errno.ENOSPC
    assert num_saved > 1
    kept, state = checkpoints.newest(template)
    assert kept == num_saved
    np.testing.assert_array_equal(state["w"], STATE["w"])
    subprocess.run(["mount", "-o", "remount,size=20m", small_disk], check=True)
    checkpoints.save(num_saved + 1, template)
    assert checkpoints.newest(template)[0] == num_saved + 1
    checkpoints.close()


def test_a_file_that_a_full_disk_has_no_room_for_leaves_that_of_before(small_disk: Path) -> None:
    path = small_disk / "results.json"
    records.write_json(path, {"accuracy": 0.5})
    with pytest.raises(OSError, match="No space left"):
        records.write_json(path, {"accuracy": [0.25] * 1_000_000})
    assert records.read_json(path) == {"accuracy": 0.5}
    assert [file.name for file in small_disk.iterdir()] == ["results.json"]


def test_a_process_without_descriptors_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    checkpoints, template = Checkpoints(tmp_path, keep=2), jax.device_put(STATE)
    checkpoints.save(1, template)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, hard))
    try:
        with pytest.raises(
            OSError, match="Too many open files: the checkpoint of step 2 was not written; that of step 1"
        ):
            checkpoints.save(2, template)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert checkpoints.newest(template)[0] == 1
    checkpoints.save(2, template)
    checkpoints.close()


def test_a_program_that_was_half_written_is_compiled_without_a_word(tmp_path: Path) -> None:
    command = "import jax; from experiments.process import keep_programs; keep_programs(); print(jax.jit(abs)(-1.0))"
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"LIPJAX_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")
        programs = list((tmp_path / "programs").glob("*-cache"))
        assert programs
        for program in programs:
            program.write_bytes(program.read_bytes()[:100])


def test_a_clock_that_was_set_back_changes_no_order(tmp_path: Path) -> None:
    checkpoints, template = Checkpoints(tmp_path, keep=2), jax.device_put(STATE)
    for step in (1, 2, 3):
        checkpoints.save(step, template)
        for path in (tmp_path / str(step)).rglob("*"):
            os.utime(path, (1e9 - step * 1e6,) * 2)
    checkpoints.close()
    reader = Checkpoints(tmp_path, keep=2)
    assert reader.newest(template)[0] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    reader.close()
