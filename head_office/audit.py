"""What people and the program did here, as a hash chain: a row that is changed or taken out breaks the ones after it.

Facts are codes, numbers and ids of our own; never a NIK, a name or what somebody searched for.
"""

import hashlib
import json

from head_office.ledger.base import Ledger, Transaction
from head_office.ledger.gapless import next_number

START = bytes(32)

Fact = str | int | bool | None


def record(tx: Transaction, *, at_ms: int, who: str, act: str, **facts: Fact) -> None:
    """Add one row to the chain, in the transaction of the act itself."""
    # The number first: it holds the chain's end until this transaction has ended.
    number = next_number(tx, "acts")
    last = tx.execute("SELECT hash FROM acts WHERE act_no = ?", (number - 1,))
    previous = bytes(last[0]["hash"]) if last else START
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    tx.execute(
        "INSERT INTO acts (act_no, at, who, act, facts, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, at_ms, who, act, text, previous, _link(previous, number, at_ms, who=who, act=act, facts=text)),
    )


def first_break(ledger: Ledger) -> int | None:
    """The number of the first act that does not follow from the one before it, or None when the chain holds."""
    previous, expected = START, 1
    for row in ledger.read("SELECT * FROM acts ORDER BY act_no"):
        link = _link(previous, row["act_no"], row["at"], who=row["who"], act=row["act"], facts=row["facts"])
        if row["act_no"] != expected or row["previous"] != previous or row["hash"] != link:
            return expected
        previous, expected = row["hash"], expected + 1
    return None


def _link(previous: bytes, number: int, at_ms: int, *, who: str, act: str, facts: str) -> bytes:
    row = json.dumps([number, at_ms, who, act, facts], separators=(",", ":")).encode()
    return hashlib.sha256(previous + row).digest()
