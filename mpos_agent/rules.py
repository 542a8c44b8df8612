"""The rules that apply now: the program's tables and policy, with what head office sent laid over them.

What head office sends comes in signed receipts and is checked here together with what is there already before any
of it is taken; on the slightest fault the old rules stay, and head office is told which file and key it was. Of each
table the later version counts, so that neither an old receipt nor an old order puts a newer program back.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from config.tables import Tables, load_tables, table_bytes, table_version
from mpos_agent.audit import Act, AuditLog
from mpos_agent.claim.draft import FallbackCode
from mpos_agent.claim.policy import Policy
from mpos_agent.log import happening
from sync import cbor
from sync import commands as wire
from sync.edge.clock import Clock
from sync.edge.commands import CommandRefusedError
from sync.edge.database import Database, Schema
from sync.errors import WireError
from sync.records import milliseconds

_log = logging.getLogger(__name__)

POLICY: Final = "policy"
INVALID_TABLES, OLDER_TABLES, INVALID_POLICY = "invalid_tables", "older_tables", "invalid_policy"
_MAX_POLICY_BYTES: Final = 1024
# Versions are compared as text: what is not a date would sort before or behind every later one.
_DATED: Final = re.compile(r"20\d\d-\d\d-\d\d(\.\d+)?")


def _received(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE rules_received (name TEXT PRIMARY KEY, content BLOB NOT NULL, received_at_ms INTEGER NOT NULL)"
        " STRICT"
    )


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_received,)


@dataclass(frozen=True, slots=True)
class InForce:
    """Tables and policy as they apply now."""

    tables: Tables
    policy: Policy


class Rules:
    """Keeps what head office sent in the agent's database, and says what applies."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: AuditLog,
        *,
        folder: Path | None,
        site: Mapping[str, int | float | str | bool],
        threshold: Callable[[str], float],
    ) -> None:
        """``folder`` holds this machine's own tables, None: the program's. ``site`` is what its settings file says
        of the policy. ``threshold`` raises KeyError for a false match rate the matcher has no score for.

        Raises ConfigError when this machine's own tables do not hold.
        """
        self._database, self._clock, self._audit = database, clock, audit
        self._folder, self._site, self._threshold = folder, dict(site), threshold
        database.migrate("rules_received", STEPS)
        self._changed = False
        self._now = self._from_disk()

    @property
    def now(self) -> InForce:
        """What applies."""
        return self._now

    def changed(self) -> InForce | None:
        """What applies since an order was taken; None when nothing changed since the last call."""
        if not self._changed:
            return None
        self._changed = False
        self._now = self._from_disk()
        return self._now

    def take_tables(self, order: wire.Tables) -> None:
        """Handler of the command ``tables``. Raises CommandRefusedError; then nothing was taken."""
        try:
            sent = {table.name.value: table.toml() for table in order.tables}
        except WireError as error:
            raise CommandRefusedError(INVALID_TABLES, str(error)) from error
        have = self._tables_received()
        try:
            for name, content in sent.items():
                if not _DATED.fullmatch(table_version(name, content)):
                    raise CommandRefusedError(INVALID_TABLES, f"{name}.toml version is not a date")
                if table_version(name, content) < table_version(name, have.get(name) or self._own(name)):
                    raise CommandRefusedError(OLDER_TABLES, name)
            tables = self._composed({**have, **sent})
            self._policy(tables, self._ordered())
        except ConfigError as error:
            raise CommandRefusedError(INVALID_TABLES, f"{Path(error.file).name} {error.key} {error.cause}") from error
        for name, content in sent.items():
            self._keep(name, content)
        self._audit.record(Act.TABLES_TAKEN, digest=bytes.fromhex(tables.digest))

    def take_policy(self, order: wire.Policy) -> None:
        """Handler of the command ``policy``. Raises CommandRefusedError; then the old one stays."""
        if order.threshold_id is not None:
            try:
                self._threshold(order.threshold_id)
            except KeyError as error:
                raise CommandRefusedError(INVALID_POLICY, f"threshold_id {order.threshold_id}") from error
        self._keep(POLICY, cbor.encode(order.to_map()))
        self._audit.record(Act.POLICY_TAKEN)

    def _from_disk(self) -> InForce:
        received = self._tables_received()
        try:
            tables = self._composed(received)
        except ConfigError as error:
            # An update of the program asks more of a table than head office's has. Claims go on with our own.
            own = load_tables(self._folder)
            happening(_log, logging.ERROR, "tables_received_do_not_fit", file=Path(error.file).name, key=error.key)
            tables = own
        return InForce(tables, self._policy(tables, self._ordered()))

    def _composed(self, received: Mapping[str, bytes]) -> Tables:
        later = {
            name: content
            for name, content in received.items()
            if table_version(name, content) >= table_version(name, self._own(name))
        }
        tables = load_tables(self._folder, later)
        for code in FallbackCode:
            if code.value not in tables.fallbacks:
                raise ConfigError("fallback.toml", code.value, "is missing", "the program needs it")
        return tables

    def _policy(self, tables: Tables, ordered: wire.Policy) -> Policy:
        values = {**tables.policy, **self._site}
        for name, value in ordered.to_map().items():
            assert isinstance(value, int | float | str)
            values[name] = value
        if "send_chip_photo" in self._site:
            # What a site keeps back, nobody else sends.
            values["send_chip_photo"] = bool(values["send_chip_photo"]) and bool(self._site["send_chip_photo"])
        return Policy.of(values)

    def _ordered(self) -> wire.Policy:
        rows = self._database.read("SELECT content FROM rules_received WHERE name = ?", (POLICY,))
        if not rows:
            return wire.Policy()
        return wire.Policy.from_map(cbor.decode(rows[0]["content"], max_bytes=_MAX_POLICY_BYTES))

    def _tables_received(self) -> dict[str, bytes]:
        rows = self._database.read("SELECT name, content FROM rules_received WHERE name <> ?", (POLICY,))
        return {row["name"]: bytes(row["content"]) for row in rows}

    def _own(self, name: str) -> bytes:
        return table_bytes(name, self._folder)

    def _keep(self, name: str, content: bytes) -> None:
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO rules_received (name, content, received_at_ms) VALUES (?, ?, ?)",
                (name, content, milliseconds(self._clock.utc())),
            )
        self._changed = True
