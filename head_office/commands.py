"""What head office asks of devices: a queue per device, repeated in its receipts until it says done or refused.

A command is queued by people or by the desk, goes out with each receipt, oldest first, and ends with the device's
own signed word in a checkpoint. Its id is random, so that a device carries it out once however often it hears it.
"""

import os
from collections.abc import Callable, Sequence
from enum import StrEnum

from head_office import audit
from head_office.device_registry import NoSuchDeviceError
from head_office.ledger.base import Ledger, Question, Row, Transaction, Value
from head_office.ledger.gapless import next_number
from head_office.moment import Clock, to_ms, utc_now
from sync import commands as wire
from sync.checkpoint import COMMAND_ID_BYTES, Checkpoint
from sync.receipt import MAX_COMMANDS, MAX_COMMANDS_BYTES, Command

MOST_LISTED = 1000

Read = Callable[[str, Sequence[Value]], list[Row]]
"""``Ledger.read``, or the ``execute`` of an open transaction."""


class CommandState(StrEnum):
    """How far a command has come."""

    QUEUED = "QUEUED"
    """In every receipt of its device."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    """The device said why it does not do that."""


def queue(tx: Transaction, device_id: str, body: wire.Body, *, now_ms: int, by: str) -> bytes:
    """Ask a device for something, in the caller's transaction; gives the command's id.

    Raises CommandError when the body is too long for a receipt, NoSuchDeviceError.
    """
    command = wire.make(os.urandom(COMMAND_ID_BYTES), body)
    if not tx.execute("SELECT 1 FROM devices WHERE device_id = ?", (device_id,)):
        raise NoSuchDeviceError(device_id)
    tx.execute(
        "INSERT INTO commands (command_no, command_id, device_id, name, body, state, queued_at, queued_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            next_number(tx, "commands"),
            command.id,
            device_id,
            command.name,
            command.body,
            CommandState.QUEUED,
            now_ms,
            by,
        ),
    )
    audit.record(tx, at_ms=now_ms, who=by, act="command_queued", device_id=device_id, name=command.name)
    return command.id


def settle(tx: Transaction, device_id: str, checkpoint: Checkpoint, now_ms: int) -> None:
    """Take the device's word for what it did and what it refused; in the transaction of its batch.

    A device speaks of its own commands only, and its first word counts.
    """
    update = (
        "UPDATE commands SET state = ?, settled_at = ?, reason = ?, detail = ?"
        " WHERE command_id = ? AND device_id = ? AND state = ?"
    )
    for done in checkpoint.commands_done:
        tx.execute(update, (CommandState.DONE, now_ms, None, None, done, device_id, CommandState.QUEUED))
    for refused in checkpoint.commands_refused:
        tx.execute(
            update,
            (
                CommandState.REFUSED,
                now_ms,
                refused.reason,
                refused.detail,
                refused.id,
                device_id,
                CommandState.QUEUED,
            ),
        )


def question(device_id: str) -> Question:
    """Asks for what the next receipt of a device is to say; :func:`chosen` reads the answer."""
    return (
        "SELECT command_id, name, body FROM commands WHERE device_id = ? AND state = 'QUEUED'"
        " ORDER BY command_no LIMIT ?",
        (device_id, MAX_COMMANDS),
    )


def chosen(rows: Sequence[Row]) -> tuple[Command, ...]:
    """The oldest commands, as many as a receipt has room for."""
    commands: list[Command] = []
    room = MAX_COMMANDS_BYTES
    for row in rows:
        room -= len(row["body"])
        if room < 0:
            break
        commands.append(Command(id=bytes(row["command_id"]), name=row["name"], body=bytes(row["body"])))
    return tuple(commands)


class CommandQueue:
    """Queues and lists commands for people."""

    def __init__(self, ledger: Ledger, *, clock: Clock = utc_now) -> None:
        self._ledger, self._clock = ledger, clock

    def send(self, device_ids: Sequence[str], body: wire.Body, *, by: str) -> tuple[bytes, ...]:
        """Ask each of these devices, all or none; gives the ids in their order. Raises like :func:`queue`."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            return tuple(queue(tx, device_id, body, now_ms=now_ms, by=by) for device_id in device_ids)

    def withdraw(self, command_id: bytes, *, by: str) -> bool:
        """Stop repeating a command the device has not answered; False when there is none. It may have been heard."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            gone = tx.execute(
                "UPDATE commands SET state = ?, settled_at = ?, reason = ? WHERE command_id = ? AND state = ?"
                " RETURNING device_id, name",
                (CommandState.REFUSED, now_ms, "withdrawn", command_id, CommandState.QUEUED),
            )
            for row in gone:
                audit.record(
                    tx, at_ms=now_ms, who=by, act="command_withdrawn", device_id=row["device_id"], name=row["name"]
                )
            return bool(gone)

    def listed(self, device_id: str | None = None) -> list[Row]:
        """Commands, newest first, at most MOST_LISTED; of one device or of all."""
        columns = (
            "SELECT command_no, command_id, device_id, name, state, queued_at, queued_by, settled_at, reason, detail"
            " FROM commands"
        )
        newest = " ORDER BY command_no DESC LIMIT ?"
        if device_id is None:
            return self._ledger.read(columns + newest, (MOST_LISTED,))
        return self._ledger.read(columns + " WHERE device_id = ?" + newest, (device_id, MOST_LISTED))

    def active_devices(self) -> tuple[str, ...]:
        """Every device that is not blocked."""
        return tuple(
            row["device_id"]
            for row in self._ledger.read("SELECT device_id FROM devices WHERE state = 'ACTIVE' ORDER BY device_id")
        )

    def device_of_claim(self, agenda_no: int) -> tuple[str, bytes]:
        """Device and packet id of the claim under an agenda number. Raises NoSuchDeviceError."""
        rows = self._ledger.read("SELECT device_id, packet_id FROM claims WHERE agenda_no = ?", (agenda_no,))
        if not rows:
            raise NoSuchDeviceError(f"of agenda {agenda_no}")
        return rows[0]["device_id"], bytes(rows[0]["packet_id"])
