"""What head office ordered about this device's identity: new keys to be made, no new claims to be begun.

An order comes with a receipt, inside the transaction that notes its command as done; new keys need the network, so
the order waits here until the sync worker has carried it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sync.commands import Deny, RotateKeys
from sync.edge.clock import Clock
from sync.edge.database import Database, Schema
from sync.edge.key_stores import SIGNING, TLS
from sync.records import from_milliseconds, milliseconds

_ROTATE = {SIGNING: "rotate_signing", TLS: "rotate_tls"}
_DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Denied:
    """No new claims on this device."""

    reason: str
    """In head office's words, for the operator's screen."""
    since: datetime


class IdentityOrders:
    """The orders in force, in the agent's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        database.migrate("identity_orders", STEPS)

    def rotate_keys(self, body: RotateKeys) -> None:
        """Handler of the command ``rotate_keys``; joins the caller's transaction."""
        if body.signing:
            self._order(_ROTATE[SIGNING], "")
        if body.tls:
            self._order(_ROTATE[TLS], "")

    def deny(self, body: Deny) -> None:
        """Handler of the command ``deny``; joins the caller's transaction."""
        if body.lift:
            self._done(_DENIED)
        else:
            self._order(_DENIED, body.reason)

    def to_rotate(self) -> frozenset[str]:
        """Which keys are to be made anew, SIGNING and TLS."""
        named = {row["name"] for row in self._database.read("SELECT name FROM identity_orders")}
        return frozenset(purpose for purpose, name in _ROTATE.items() if name in named)

    def rotated(self) -> None:
        """The new keys are in use."""
        for name in _ROTATE.values():
            self._done(name)

    def denied(self) -> Denied | None:
        """Why no new claim may be begun; None when they may."""
        rows = self._database.read("SELECT detail, at_ms FROM identity_orders WHERE name = ?", (_DENIED,))
        return Denied(rows[0]["detail"], from_milliseconds(rows[0]["at_ms"])) if rows else None

    def _order(self, name: str, detail: str) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO identity_orders (name, detail, at_ms) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET detail = excluded.detail",
                (name, detail, milliseconds(self._clock.utc())),
            )

    def _done(self, name: str) -> None:
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM identity_orders WHERE name = ?", (name,))


def _orders(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE identity_orders (name TEXT PRIMARY KEY, detail TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT"
    )


STEPS: tuple[Callable[[Schema], None], ...] = (_orders,)
