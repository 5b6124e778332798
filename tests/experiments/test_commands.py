"""`lipjax COMMAND`: all commands under one name, in a checkout and in a wheel, which has no package `experiments`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from experiments import __main__ as door

ROOT = Path(__file__).parents[2]


def test_every_module_that_runs_is_a_command_with_a_sentence() -> None:
    modules = [path for path in (ROOT / "experiments").glob("*.py") if path.stem not in ("cli", "__main__")]
    runs = {path.stem for path in modules if 'if __name__ == "__main__":' in path.read_text()}
    assert set(door.commands()) == runs >= {"study", "sweep", "train", "list", "compare", "report", "refute"}
    assert all(says.endswith((".", "?")) for says in door.commands().values())


def test_a_command_gets_its_flags(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lipjax", "list", "--help"])
    monkeypatch.delitem(sys.modules, "experiments.list", raising=False)  # a command begins with none imported
    door.main()
    assert "python -m experiments.list" in capsys.readouterr().out


def test_an_unknown_command_is_told_with_those_there_are(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lipjax", "studdy"])
    with pytest.raises(SystemExit) as end:
        door.main()
    assert end.value.code == 2
    assert "'studdy' is none of audit," in capsys.readouterr().err


def test_a_wheel_has_one_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not here")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"lipjax"}
    assert "lipjax/experiments/study.py" in names
