"""The cache of decoded arrays: whole or absent, and never in the way."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from lipjax.datasets import cache


class Maker:
    """Makes arrays and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> cache.Arrays:
        self.calls += 1
        return {"images": np.arange(5000, dtype=np.uint8).reshape(50, 10, 10), "labels": np.arange(50)}


@pytest.fixture
def make() -> Maker:
    return Maker()


def assert_right(arrays: cache.Arrays) -> None:
    for name, array in Maker()().items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_arrays_are_made_once_and_then_mapped_read_only(own_cache: Path, make: Maker) -> None:
    assert_right(cache.cached("a/b", make))
    mapped = cache.cached("a/b", make)
    assert_right(mapped)
    assert make.calls == 1
    assert isinstance(mapped["images"], np.memmap)
    assert not mapped["images"].flags.writeable
    cache.cached("a/c", make)
    assert make.calls == 2


def test_nothing_but_the_entry_is_left_behind(own_cache: Path, make: Maker) -> None:
    cache.cached("a", make)
    assert sorted(path.name for path in (own_cache / "a").iterdir()) == ["checksums.json", "images.npy", "labels.npy"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": lambda entry: flip(entry / "images.npy"),
    "a truncated array": lambda entry: (entry / "images.npy").write_bytes((entry / "images.npy").read_bytes()[:999]),
    "an empty array": lambda entry: (entry / "labels.npy").write_bytes(b""),
    "a missing array": lambda entry: (entry / "labels.npy").unlink(),
    "missing checksums": lambda entry: (entry / "checksums.json").unlink(),
    "torn checksums": lambda entry: (entry / "checksums.json").write_text('{"images": 12'),
    "no checksums": lambda entry: (entry / "checksums.json").write_text("{}"),
    "checksums of another kind": lambda entry: (entry / "checksums.json").write_text("7"),
    "a pickle": lambda entry: np.save(entry / "labels.npy", np.array([{}]), allow_pickle=True),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_again(own_cache: Path, make: Maker, damage: str) -> None:
    cache.cached("a", make)
    DAMAGE[damage](own_cache / "a")
    assert_right(cache.cached("a", make))
    assert make.calls == 2
    assert_right(cache.cached("a", make))
    assert make.calls == 2


def test_a_pickle_with_the_right_checksum_is_not_loaded(own_cache: Path, make: Maker) -> None:
    cache.cached("a", make)
    path = own_cache / "a" / "labels.npy"
    np.save(path, np.array([{}]), allow_pickle=True)
    checksums = json.loads((own_cache / "a" / "checksums.json").read_text())
    checksums["labels"] = cache._checksum(path)
    (own_cache / "a" / "checksums.json").write_text(json.dumps(checksums))
    assert_right(cache.cached("a", make))


def test_arrays_in_use_survive_a_rebuild(own_cache: Path, make: Maker) -> None:
    cache.cached("a", make)
    in_use = cache.cached("a", make)
    (own_cache / "a" / "checksums.json").unlink()
    cache.cached("a", make)
    assert_right(in_use)


def test_a_cache_that_cannot_be_written_only_means_no_caching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIPJAX_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert_right(cache.cached("a", make))
        assert_right(cache.cached("a", make))
    assert make.calls == 2
    assert "LIPJAX_CACHE names another cache folder" in caplog.text


def test_a_failure_to_make_leaves_no_entry(own_cache: Path) -> None:
    def fail() -> cache.Arrays:
        raise ValueError("example 3 can't be read")

    with pytest.raises(ValueError, match="example 3"):
        cache.cached("a", fail)
    assert not own_cache.exists()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LIPJAX_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "mine"
    monkeypatch.delenv("LIPJAX_CACHE")
    assert cache.root() == tmp_path / "xdg" / "lipjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == tmp_path / ".cache" / "lipjax"
