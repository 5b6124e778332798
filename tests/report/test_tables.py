"""Tables, as text and as files."""

from pathlib import Path

import pytest

from lipjax import report


def test_a_csv_file_holds_the_rows_with_commas_and_quotes_kept(tmp_path: Path) -> None:
    rows = [{"system": 'a "b", c', "accuracy": 0.5}, {"system": "V", "accuracy": None}]
    report.write_csv(tmp_path / "rows.csv", rows)
    assert (tmp_path / "rows.csv").read_text().splitlines() == ["system,accuracy", '"a ""b"", c",0.5', "V,"]


@pytest.mark.parametrize("cell", ["91.2", "91.2%", 91.2, 3])
def test_numbers_are_aligned_to_the_right(cell: str | float) -> None:
    lines = report.text_table([{"a long header": cell}]).splitlines()
    assert lines[1].endswith(str(cell))
    assert len(lines[1]) == len(lines[0])
