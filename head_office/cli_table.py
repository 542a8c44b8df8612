"""How the administrator's commands print lists."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from head_office.moment import from_ms

WIDE = 130
"""Columns of a terminal that has room for a whole list."""
WHOLE = frozenset({"agenda_no", "receipt_no", "device_id", "kpj", "nik", "npp"})


def print_rows(
    found: Sequence[dict[str, object]], shown: Sequence[str], as_json: bool, *, narrow: Sequence[str]
) -> None:
    """JSON; or a table as wide as the terminal, of its ``narrow`` columns where that is small; or, where nobody looks
    on, one line a row with tabs between, so that nothing is cut off and everything can be copied.
    """
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        print("\t".join(shown))
        for row in found:
            print("\t".join(cell(row[column]) for column in shown))
        return
    table = Table()
    columns = shown if console.width >= WIDE else narrow
    for column in columns:
        # Numbers people copy or read out stay in one piece; the rest folds, nothing is cropped.
        whole = max((len(cell(row[column])) for row in found), default=0) if column in WHOLE else None
        table.add_column(column.replace("_", " "), overflow="fold", min_width=whole)
    for row in found:
        table.add_row(*(escape(cell(row[column])) for column in columns))
    console.print(table)


def cell(value: object) -> str:
    """One value as a word."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def iso(ms: int | None) -> str | None:
    """A moment of the ledger for people, UTC to the second."""
    return None if ms is None else from_ms(ms).isoformat(timespec="seconds")
