"""Numbers without gaps, given out one after the other: the agenda's seven digits, the acts' chain."""

from head_office.ledger.base import Transaction


def next_number(tx: Transaction, name: str) -> int:
    """Take the next number; everybody else who wants one waits until this transaction has ended."""
    rows = tx.execute("UPDATE numbers SET last_no = last_no + 1 WHERE name = ? RETURNING last_no", (name,))
    return int(rows[0]["last_no"])
