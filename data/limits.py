"""How much a file may hold: what a person's machine bears, and more than a data set needs."""

from data.registry import DataError

MOST_BYTES = 2_000_000_000
MOST_ROWS = 20_000_000
MOST_CELLS = 200_000_000
MOST_COLUMNS = 2_000
BLOCK = 1 << 23
"""Bytes that are read at once."""
LONGEST_LINE = 1 << 20
"""Characters of the longest row of a text file."""


def require_room(rows: int, columns: int) -> None:
    """Raise DataError where a file has more of something than a data set may have."""
    if columns > MOST_COLUMNS:
        raise DataError(
            f"The file has {columns:,} columns; the most is {MOST_COLUMNS:,}. Keep those that are "
            "needed."
        )
    if rows > MOST_ROWS:
        raise DataError(
            f"The file has more than {MOST_ROWS:,} rows; take fewer of them, or a longer step."
        )
    if rows * columns > MOST_CELLS:
        raise DataError(
            f"The file has more than {MOST_CELLS:,} cells; keep the columns that are needed, or "
            "take fewer rows."
        )
