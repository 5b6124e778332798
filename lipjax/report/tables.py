"""Tables of results, for the terminal and as CSV."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from lipjax import records

Cell = str | int | float | None


def _text(cell: Cell) -> str:
    return "" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def counted(number: int, word: str) -> str:
    """A number with its noun.

    Examples:
        >>> counted(1, "pair"), counted(1200, "pair")
        ('1 pair', '1,200 pairs')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def text_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows as aligned text; the columns are the keys of the first row, numbers are aligned to the right.

    Args:
        rows: One mapping per row, all with the same keys. Floats get four significant digits; give a string for
            another format.

    Returns:
        Lines joined by newlines.

    Examples:
        >>> print(text_table([{"system": "V", "accuracy": 0.875}, {"system": "PGD", "accuracy": 0.8}]))
        system  accuracy
        V          0.875
        PGD          0.8
    """
    header = list(rows[0])
    lines = [header, *([_text(row[name]) for name in header] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    left = [isinstance(rows[0][name], str) and not _is_number(rows[0][name]) for name in header]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(cell: Cell) -> bool:
    try:
        float(str(cell).rstrip("%"))
    except ValueError:
        return False
    return True


def write_csv(path: Path | str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Writes rows as CSV with a header line; the file appears whole or not at all.

    Args:
        path: Where to write.
        rows: One mapping per row, all with the same keys.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv(f"{folder}/a.csv", [{"system": "V, plain", "alpha": 1.5}, {"system": "P", "alpha": None}])
        ...     print(Path(f"{folder}/a.csv").read_text().rstrip())
        system,alpha
        "V, plain",1.5
        P,
    """
    with records.replacing(Path(path)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
