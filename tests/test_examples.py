"""The examples: all compile, and the fastest runs as it is."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_examples_compile_and_say_how_long_they_take_and_whether_tests_run_them() -> None:
    assert len(EXAMPLES) >= 5
    for path in EXAMPLES:
        compile(path.read_text(), path.name, "exec")
        about, *cells = path.read_text().split("\n# %%")
        assert f"python examples/{path.name}" in about, path.name
        assert "seconds on one core" in about, path.name
        assert ("The tests run this file" in about) == (path.name == "audit_claim.py"), path.name
        assert len(cells) >= 3, path.name


def test_an_audit_and_a_refutation_run_as_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(next(path for path in EXAMPLES if path.name == "audit_claim.py")), run_name="__main__")
    printed = capsys.readouterr().out
    assert "above 1: #1 (convolution)" in printed
    assert "the claim 1 is false" in printed
    assert "mended: nothing exceeds 0.9" in printed
