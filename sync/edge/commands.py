"""Head office's commands, each carried out once, however often and in whatever order receipts bring it.

A command and the note that it was done are one transaction, so that a crash in between does it neither twice nor
not at all. What this program can not read, does not know, or failed at three times is reported as refused: head
office then stops repeating it, and a person there sees why.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync import commands as wire
from sync.checkpoint import MAX_REPORTED, CommandRefused
from sync.commands import CommandName
from sync.edge.clock import Clock
from sync.edge.database import Database, Row, Schema, Transaction
from sync.errors import CommandError, Refusal, SyncError
from sync.receipt import Command
from sync.records import milliseconds

UNKNOWN, UNREADABLE, NOT_HERE, FAILED = "unknown_command", "unreadable", "not_here", "failed"
TRIES = 3
"""A command during which the program died this often is at fault itself."""
REMEMBERED = 4096
"""Commands kept so that a late receipt does nothing again: years of them."""
MOST_DETAIL = 120

Handler = Callable[[Any], None]
"""Is given the body (sync/commands.py) inside the transaction that notes the command as done: what it writes to the
agent's database is one commit with that. It must not wait for anything, may be run again from the beginning when the
disk was full, and refuses with CommandRefusedError."""


class CommandRefusedError(SyncError):
    """This device does not do that; ``reason`` is a stable word for head office, ``detail`` for a person there."""

    code = "command_refused"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason + (f": {detail}" if detail else ""))
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a receipt's commands."""

    done: tuple[CommandName, ...]
    refused: tuple[CommandRefused, ...]


class Commands:
    """The register of commands in the agent's database, and who carries each out."""

    def __init__(self, database: Database, clock: Clock, handlers: Mapping[CommandName, Handler] | None = None) -> None:
        self._database, self._clock = database, clock
        self._handlers: dict[CommandName, Handler] = dict(handlers or {})
        self._one_at_a_time = threading.Lock()
        database.migrate("commands", STEPS)

    def register(self, name: CommandName, handler: Handler) -> None:
        """Who carries out commands of that name; one each, before the first receipt."""
        if name in self._handlers:
            raise ValueError(f"{name} has its handler")
        self._handlers[name] = handler

    def take(self, asked: Sequence[Command]) -> Taken:
        """Carry out what is new among the commands of one verified receipt.

        Raises StorageError; what was carried out until then is noted, the rest comes again.
        """
        # A receipt from a stick may be taken while a round takes another.
        with self._one_at_a_time:
            return self._take(asked)

    def _take(self, asked: Sequence[Command]) -> Taken:
        self._stop_telling({command.id for command in asked})
        done: list[CommandName] = []
        refused: list[CommandRefused] = []
        for command in asked:
            known = self._known(command.id)
            if known is not None and known["state"] != "BEGUN":
                if not known["tell"]:
                    self._update("UPDATE commands SET tell = 1 WHERE id = ?", (command.id,))
                continue
            told = self._carry_out(command, begun=0 if known is None else known["tries"])
            if told is None:
                done.append(CommandName(command.name))
            else:
                refused.append(told)
        return Taken(tuple(done), tuple(refused))

    def report(self) -> tuple[tuple[bytes, ...], tuple[CommandRefused, ...]]:
        """What the next checkpoint says: ids that are done, and what was refused; oldest first, as far as it fits."""
        rows = self._database.read(
            "SELECT * FROM commands WHERE tell = 1 AND state <> 'BEGUN' ORDER BY number LIMIT ?", (MAX_REPORTED,)
        )
        return (
            tuple(bytes(row["id"]) for row in rows if row["state"] == "DONE"),
            tuple(_refused(row) for row in rows if row["state"] == "REFUSED"),
        )

    def _stop_telling(self, asked: set[bytes]) -> None:
        """Head office no longer repeats these: it has heard. Should it ask again after all, it is told again."""
        rows = self._database.read("SELECT id FROM commands WHERE tell = 1 AND state <> 'BEGUN'")
        heard = [(bytes(row["id"]),) for row in rows if bytes(row["id"]) not in asked]

        def forget(tx: Transaction) -> None:
            tx.executemany("UPDATE commands SET tell = 0 WHERE id = ?", heard)
            tx.execute(
                "DELETE FROM commands WHERE tell = 0 AND number <= (SELECT max(number) FROM commands) - ?",
                (REMEMBERED,),
            )

        if heard:
            self._database.drain(forget)

    def _carry_out(self, command: Command, begun: int) -> CommandRefused | None:
        try:
            body = wire.read(command)
        except CommandError as error:
            unknown = error.refusal is Refusal.UNKNOWN_TYPE and error.field == "name"
            where = f"{error.refusal.value} at {error.field}" if error.field else error.refusal.value
            return self._refuse(command, UNKNOWN if unknown else UNREADABLE, "" if unknown else where)
        handler = self._handlers.get(CommandName(command.name))
        if handler is None:
            return self._refuse(command, NOT_HERE, "")
        if begun >= TRIES:
            return self._refuse(command, FAILED, f"begun {begun} times")
        # Noted before it begins: what kills the program on the way must not do so at every start.
        self._update(
            "INSERT INTO commands (id, name, state, tries, tell) VALUES (?, ?, 'BEGUN', 1, 1)"
            " ON CONFLICT (id) DO UPDATE SET tries = tries + 1",
            (command.id, command.name),
        )

        def obey(tx: Transaction) -> None:
            handler(body)
            self._settle(tx, command, "DONE", None, None)

        try:
            self._database.drain(obey)
        except CommandRefusedError as error:
            return self._refuse(command, error.reason, error.detail)
        return None

    def _refuse(self, command: Command, reason: str, detail: str) -> CommandRefused:
        told = CommandRefused(id=command.id, name=command.name, reason=reason, detail=_plain(detail))
        self._database.drain(lambda tx: self._settle(tx, command, "REFUSED", told.reason, told.detail))
        return told

    def _settle(self, tx: Transaction, command: Command, state: str, reason: str | None, detail: str | None) -> None:
        tx.execute(
            "INSERT INTO commands (id, name, state, tries, tell, reason, detail, settled_at_ms)"
            " VALUES (?, ?, ?, 0, 1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, tell = 1,"
            " reason = excluded.reason, detail = excluded.detail, settled_at_ms = excluded.settled_at_ms",
            (command.id, command.name, state, reason, detail, milliseconds(self._clock.utc())),
        )

    def _known(self, command_id: bytes) -> Row | None:
        rows = self._database.read("SELECT * FROM commands WHERE id = ?", (command_id,))
        return rows[0] if rows else None

    def _update(self, sql: str, values: tuple[Any, ...]) -> None:
        self._database.drain(lambda tx: tx.execute(sql, values))


def _refused(row: Row) -> CommandRefused:
    return CommandRefused(id=bytes(row["id"]), name=row["name"], reason=row["reason"], detail=row["detail"])


def _plain(detail: str) -> str:
    """Cut to what a checkpoint carries, on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in detail)[:MOST_DETAIL]


def _register(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE commands ("
        " number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('BEGUN', 'DONE', 'REFUSED')),"
        " tries INTEGER NOT NULL, tell INTEGER NOT NULL, reason TEXT, detail TEXT, settled_at_ms INTEGER) STRICT"
    )
    # Few at any time: what head office has heard of leaves this index.
    schema.execute("CREATE INDEX commands_to_tell ON commands (number) WHERE tell = 1")


STEPS: tuple[Callable[[Schema], None], ...] = (_register,)
