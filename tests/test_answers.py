"""Answers of measurements on disk: kept, found again, put side by side, and never trusted when damaged."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

from lipjax import records
from lipjax.records import answers


def truth(*values: bool) -> xarray.Dataset:
    return xarray.Dataset({"correct": ("example", list(values))})


def after(attack: str, *values: bool) -> xarray.Dataset:
    return xarray.Dataset({"withstood": (("attack", "example"), [list(values)])}, {"attack": [attack]})


def refuse() -> xarray.Dataset:
    raise AssertionError("measured again")


def test_what_decides_the_answers_decides_the_file(tmp_path: Path) -> None:
    first = records.recalled(tmp_path, "clean", {"seed": 0}, lambda: truth(True))
    other = records.recalled(tmp_path, "clean", {"seed": 1}, lambda: truth(False))
    assert records.recalled(tmp_path, "clean", {"seed": 0}, refuse).identical(first)
    assert records.recalled(tmp_path, "clean", {"seed": 1}, refuse).identical(other)


@pytest.mark.parametrize("damage", ["flip", "truncate", "no json", "list", "other schema"])
def test_damaged_answers_are_set_aside_and_measured_again(tmp_path: Path, damage: str) -> None:
    records.recalled(tmp_path, "clean", {}, lambda: truth(True))
    path = records.path_of(tmp_path, "clean", {})
    record = path.with_suffix(".json")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage in ("flip", "truncate"):
        path.write_bytes(content if damage == "flip" else content[:100])
    else:
        record.write_text({"no json": "{", "list": "[1]", "other schema": '{"schema": 0, "sha256": ""}'}[damage])
    with pytest.warns(UserWarning, match=r"is set aside as .*\.damaged and measured again"):
        again = records.recalled(tmp_path, "clean", {}, lambda: truth(False))
    assert not again.correct.any()
    assert len(list(tmp_path.glob("*.damaged"))) == 2
    assert not records.recalled(tmp_path, "clean", {}, refuse).correct.any()


def test_answers_without_their_record_do_not_count(tmp_path: Path) -> None:
    records.recalled(tmp_path, "clean", {}, lambda: truth(True))
    records.path_of(tmp_path, "clean", {}).with_suffix(".json").unlink()
    assert not records.recalled(tmp_path, "clean", {}, lambda: truth(False)).correct.any()


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    records.write_text(path, "old")

    def fail() -> None:
        with records.replacing(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file.txt", "old")]


def test_two_attacks_lie_side_by_side_also_on_fewer_examples() -> None:
    both = records.joined([truth(True, True, True), after("weak", True, True, False), after("strong", False, True)])
    assert both.withstood.sel(attack="weak").values.tolist() == [1.0, 1.0, 0.0]
    np.testing.assert_array_equal(both.withstood.sel(attack="strong"), [0.0, 1.0, np.nan])
    assert both.correct.values.tolist() == [True, True, True]


def test_two_answers_to_one_question_are_refused_unless_the_newest_counts() -> None:
    new, old = after("pgd", True, True), after("pgd", False, False)
    with pytest.raises(ValueError, match="'withstood' of the same things"):
        records.joined([new, old])
    assert records.joined([new, old], newest_first=True).withstood.all()


def test_seeds_that_a_system_lacks_are_not_a_number() -> None:
    cells = {("V", 0): truth(True, False), ("V", 1): truth(True, True), ("P", 1): truth(False, False)}
    together = records.combined(cells)
    assert together.correct.dims == ("system", "seed", "example")
    np.testing.assert_array_equal(together.correct.mean("example"), [[0.5, 1.0], [np.nan, 0.0]])
    assert records.combined({("V", 0): truth(True)}).correct.dtype == bool


def test_runs_are_opened_together_with_their_newest_answers(tmp_path: Path) -> None:
    for name, values in (("a", (True, True)), ("b", (True, False))):
        records.recalled(tmp_path / name / "measurements", "clean", {"old": True}, lambda: truth(False, False))
        records.recalled(tmp_path / name / "measurements", "clean", {}, lambda values=values: truth(*values))
        for record in (tmp_path / name / "measurements").glob("*.json"):
            assert records.read_json(record)["schema"] == answers.SCHEMA
    found = records.open(tmp_path / "*")
    assert found.correct.mean("example").squeeze("seed").to_series().to_dict() == {"a": 1.0, "b": 0.5}
    with pytest.raises(FileNotFoundError, match="no run directory with measurements"):
        records.open(tmp_path / "nowhere*")


def test_nothing_warns_where_all_is_well(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            records.recalled(tmp_path, "clean", {}, lambda: truth(True))
