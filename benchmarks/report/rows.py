"""Files of results: a list with one row of JSON for each model, number of steps and method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """The rows; none where there is no file yet."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else []


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Each in a line of its own."""
    lines = (json.dumps(row, separators=(",", ":")) for row in rows)
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


def keep_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write these in place of those of the same model, number of steps and method."""
    places = {_place(row) for row in rows}
    others = [row for row in read_rows(file) if _place(row) not in places]
    write_rows(file, [*others, *rows])


def _place(row: Row) -> tuple[str, int, str]:
    return row["model"], row["steps"], row["method"]
