"""Faults of files and of the machine: each is told, and costs no more than what was damaged."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, corrupt, toy
from lipjax import compatibility, datasets, norms, records
from lipjax.bounds import BracketError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)
LABELS = np.arange(30) % 3


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
        options = {"thresholds": [0.5], "journal_dir": tmp_path, "progress": False}
        return compatibility.pair_distances(IMAGES, LABELS, norms.l1, **options).histogram

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
        cli.run_main(toy.Config, run, "", [])
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
