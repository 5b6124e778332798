"""Fixtures of the dataset tests."""

from pathlib import Path

import pytest


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for one test, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LIPJAX_CACHE", str(folder))
    return folder
