"""What head office said of claims that were sent from here: documents it asks for, and what people decided.

Told on the slip and to the operator, and to nobody else. The device decides nothing and forwards nothing; it keeps
the last word. Which of the documents are still to come is worked out from what was sent since.
"""

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from mpos_agent.audit import Act, AuditLog
from sync import commands as wire
from sync.commands import DecisionStatus
from sync.edge.commands import CommandRefusedError
from sync.edge.database import Database, Row, Schema
from sync.records import from_milliseconds, milliseconds

UNKNOWN_CLAIM: Final = "unknown_claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Documents head office asks for."""

    documents: tuple[str, ...]
    """Codes of the versioned table, in head office's order."""
    note: str
    asked_at: datetime.datetime
    until: datetime.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What people at head office decided."""

    status: DecisionStatus
    agenda_no: int | None
    reason_code: str | None
    reason: str | None
    decided_at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """Head office's last words on one claim; at least one of the two is there."""

    claim_id: str
    asked: Asked | None
    decided: Decided | None


def _answers(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE claim_answers ("
        " claim_id TEXT PRIMARY KEY,"
        " asked_at_ms INTEGER, documents TEXT, note TEXT, until TEXT,"
        " decided_at_ms INTEGER, status TEXT, agenda_no INTEGER, reason_code TEXT, reason TEXT) STRICT"
    )


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_answers,)


class ClaimAnswers:
    """The table of head office's words on claims."""

    def __init__(self, database: Database, audit: AuditLog, *, sent_from_here: Callable[[UUID], bool]) -> None:
        self._database, self._audit, self._sent_from_here = database, audit, sent_from_here
        database.migrate("claim_answers", STEPS)

    def take_supplement(self, order: wire.Supplement) -> None:
        """Handler of the command ``supplement``. An older request than the one that is kept changes nothing."""
        asked_ms = milliseconds(order.asked_at)
        if self._is_older(order.packet_id, "asked_at_ms", asked_ms):
            return
        self._keep(
            order.packet_id,
            asked_at_ms=asked_ms,
            documents=json.dumps(order.documents),
            note=order.note,
            until=None if order.until is None else order.until.isoformat(),
        )
        self._audit.record(Act.SUPPLEMENT_ASKED, claim_id=str(order.packet_id), documents=len(order.documents))

    def take_decision(self, order: wire.Decision) -> None:
        """Handler of the command ``decision``. An older one than the one that is kept changes nothing."""
        decided_ms = milliseconds(order.decided_at)
        if self._is_older(order.packet_id, "decided_at_ms", decided_ms):
            return
        self._keep(
            order.packet_id,
            decided_at_ms=decided_ms,
            status=order.status.value,
            agenda_no=order.agenda_no,
            reason_code=order.reason_code,
            reason=order.reason,
        )
        self._audit.record(Act.DECISION_HEARD, claim_id=str(order.packet_id), decision=order.status)

    def of(self, claim_id: str) -> ClaimAnswer | None:
        """Head office's last words on a claim; None while it has said nothing."""
        rows = self._database.read("SELECT * FROM claim_answers WHERE claim_id = ?", (claim_id,))
        return _answer(rows[0]) if rows else None

    def asking(self) -> tuple[ClaimAnswer, ...]:
        """Claims head office asks documents for and has not approved or rejected since, oldest request first."""
        rows = self._database.read(
            "SELECT * FROM claim_answers WHERE asked_at_ms IS NOT NULL"
            " AND (status IS NULL OR status = ? OR decided_at_ms < asked_at_ms) ORDER BY asked_at_ms",
            (DecisionStatus.RETURNED.value,),
        )
        return tuple(_answer(row) for row in rows)

    def _is_older(self, packet_id: UUID, column: str, moment_ms: int) -> bool:
        if not self._sent_from_here(packet_id):
            raise CommandRefusedError(UNKNOWN_CLAIM)
        rows = self._database.read("SELECT * FROM claim_answers WHERE claim_id = ?", (str(packet_id),))
        return bool(rows) and rows[0][column] is not None and rows[0][column] > moment_ms

    def _keep(self, packet_id: UUID, **values: str | int | None) -> None:
        # Column names are the keyword names above.
        columns = ", ".join(values)
        places = ", ".join("?" for _ in values)
        with self._database.transaction() as tx:
            tx.execute("INSERT OR IGNORE INTO claim_answers (claim_id) VALUES (?)", (str(packet_id),))
            tx.execute(
                f"UPDATE claim_answers SET ({columns}) = ({places}) WHERE claim_id = ?",  # noqa: S608
                (*values.values(), str(packet_id)),
            )


def _answer(row: Row) -> ClaimAnswer:
    asked = decided = None
    if row["asked_at_ms"] is not None:
        asked = Asked(
            documents=tuple(json.loads(row["documents"])),
            note=row["note"],
            asked_at=from_milliseconds(row["asked_at_ms"]),
            until=None if row["until"] is None else datetime.date.fromisoformat(row["until"]),
        )
    if row["decided_at_ms"] is not None:
        decided = Decided(
            status=DecisionStatus(row["status"]),
            agenda_no=row["agenda_no"],
            reason_code=row["reason_code"],
            reason=row["reason"],
            decided_at=from_milliseconds(row["decided_at_ms"]),
        )
    return ClaimAnswer(claim_id=row["claim_id"], asked=asked, decided=decided)
