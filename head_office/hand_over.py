"""Devices from one cluster to another: a file of what the other one has to know, and the mark that they have moved.

Handed over here: from now on nothing of theirs is stored here, and they are told to go there. Taken over there: they
are served. Between the two they are told to come later. What was stored here is known there by its digest, so that a
packet that comes again, or late on a stick, is a duplicate there and no fork. Any interruption is safe, and each half
may be repeated.

The file has one JSON object a line and no personal data: names, certificates, chain heads, digests.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from head_office import audit
from head_office.clusters import Clusters
from head_office.device_registry import DeviceState, NoSuchDeviceError
from head_office.documents import DocumentState
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger, Row, Transaction, Value
from head_office.ledger.migrations.apply import newest
from sync.envelope import Lane

DEVICE_COLUMNS = (
    "device_id",
    "serial",
    "branch_code",
    "kanwil_code",
    "partner_code",
    "site_type",
    "enrolled_at",
    "boot_id",
    "moves",
)
TABLES: Mapping[str, tuple[str, ...]] = {
    "certificates": (
        "fingerprint", "device_id", "purpose", "kid", "spki", "certificate", "not_before", "not_after", "key_no",
        "superseded_at",
    ),
    "boots": ("device_id", "boot_id", "first_at"),
    "renewals": ("device_id", "digest", "tls_certificate", "signing_certificate", "at"),
    "lanes": ("device_id", "lane", "epoch", "next_seq", "head_hash", "frozen_reason", "opened_at"),
    "key_bounds": ("device_id", "key_no", "lane", "epoch", "next_seq"),
    "stand_ins": ("device_id", "lane", "epoch", "seq", "expected"),
    "stored_elsewhere": (
        "device_id", "lane", "epoch", "seq", "digest", "receipt_no", "stored_at", "verdict", "reason",
    ),
    "missing_places": (
        "device_id", "lane", "epoch", "first_seq", "last_seq", "noticed_at", "asked_up_to", "shown_at", "reason",
        "asked_by", "asked_at", "confirmed_by", "confirmed_at", "went_on_at", "went_on_with",
    ),
}  # fmt: skip
"""What goes along, and what of it; a column that is added later has to be thought of here."""


class HandOverError(HeadOfficeError):
    """A hand-over file, or a device, that cannot be taken over."""

    code = "hand_over"


def strangers(ledger: Ledger, clusters: Clusters, *, again: bool = False) -> list[str]:
    """Devices that are served here and belong elsewhere, as after a change of the list of clusters.

    ``again`` adds those that were handed over before, for a file that was lost.
    """
    rows = ledger.read("SELECT device_id, state FROM devices WHERE state <> ?", (DeviceState.BLOCKED,))
    return sorted(
        row["device_id"]
        for row in rows
        if (again or row["state"] == DeviceState.ACTIVE) and clusters.home_of(row["device_id"]) != clusters.own
    )


def with_documents_under_way(ledger: Ledger, devices: Iterable[str]) -> list[str]:
    """Those of the devices that are better handed over another day."""
    with ledger.transaction() as tx:
        found = [tx.execute("SELECT * FROM devices WHERE device_id = ?", (name,)) for name in devices]
        here = [row for rows in found for row in rows if row["state"] == DeviceState.ACTIVE]
        return [row["device_id"] for row in here if documents_wait(tx, row)]


def hand_over(
    ledger: Ledger,
    clusters: Clusters,
    devices: Iterable[str],
    *,
    to: str | None = None,
    documents_too: bool = False,
    now_ms: int,
    by: str,
) -> Iterator[str]:
    """Give devices away, one by one; yields the lines of the file.

    A device that was handed over before may be given again, so that a lost file costs nothing. One whose documents are
    under way is not given, unless ``documents_too``: the parts that are here and those that come would never meet.
    Raises NoSuchDeviceError, or HandOverError for that and for a cluster that is not in the list.
    """
    yield json.dumps({"hand_over": 1, "from": clusters.own.name, "schema": newest()})
    count = 0
    for device_id in devices:
        there = clusters.home_of(device_id) if to is None else clusters.named(to)
        if there is None or there == clusters.own:
            raise HandOverError(f"{device_id}: {to or clusters.own.name} is no other cluster of the list")
        with ledger.transaction() as tx:
            row = tx.lock_device(device_id)
            if row is None:
                raise NoSuchDeviceError(device_id)
            if row["state"] == DeviceState.BLOCKED:
                raise HandOverError(f"{device_id} is blocked; it would be free again there")
            if not documents_too and row["state"] == DeviceState.ACTIVE and (waits := documents_wait(tx, row)):
                raise HandOverError(f"{device_id} has documents under way ({waits}); they would be in two halves")
            # Given once more, for a file that was lost, it is the same move.
            moves = row["moves"] + (row["state"] == DeviceState.ACTIVE)
            tx.execute(
                "UPDATE devices SET state = ?, state_reason = ?, moves = ? WHERE device_id = ?",
                (DeviceState.MOVED, there.name, moves, device_id),
            )
            audit.record(tx, at_ms=now_ms, who=by, act="device_handed_over", device=device_id, to=there.name)
            device = {column: _as_json(row[column]) for column in DEVICE_COLUMNS} | {"moves": moves}
            tables = {name: list(_rows(tx, name, device_id)) for name in TABLES}
        yield json.dumps({"device": device, "to": there.name, **tables})
        count += 1
    yield json.dumps({"end": count})


def documents_wait(tx: Transaction, device: Row) -> str:
    """What is missing of a device's documents, in words; empty when nothing is."""
    device_id = str(device["device_id"])
    waiting = tx.execute(
        "SELECT count(*) AS n FROM documents WHERE device_id = ? AND state IN (?, ?)",
        (device_id, DocumentState.WAITING, DocumentState.GATHERED),
    )[0]["n"]
    if waiting:
        return f"{waiting} not complete"
    said = json.loads(device["last_checkpoint"] or '{"lanes": []}')
    left = sum(lane.get("left", lane["depth"]) for lane in said["lanes"] if lane["lane"] == Lane.DOCUMENTS)
    return f"{left} parts wait on the device" if left else ""


def _rows(tx: Transaction, table: str, device_id: str) -> Iterator[dict[str, Any]]:
    columns = TABLES[table]
    names = ", ".join(columns)
    sources = [table, "packets"] if table == "stored_elsewhere" else [table]
    for source in sources:
        for row in tx.execute(f"SELECT {names} FROM {source} WHERE device_id = ?", (device_id,)):  # noqa: S608
            yield dict(zip(columns, (_as_json(row[column]) for column in columns), strict=True))


def take_over(
    ledger: Ledger,
    clusters: Clusters,
    lines: Callable[[], Iterable[str]],
    *,
    block: Collection[str] = (),
    now_ms: int,
    by: str,
) -> int:
    """Take devices over; gives how many are new here. May be repeated.

    Those in ``block`` are blocked as they arrive: one that was stolen while it belonged to nobody.

    ``lines`` gives the file from its beginning; it is read twice, so that a cut off one takes over nothing. Raises
    HandOverError.
    """
    first, last, count = "", "", 0
    for line in lines():
        first, last, count = first or line, line, count + 1
    head, end = _object(first), _object(last)
    if head.get("hand_over") != 1 or end != {"end": count - 2}:
        raise HandOverError("not a whole hand-over file; write it again")
    if head["schema"] != newest():
        raise HandOverError(f"made by another version of the ledger: {head['schema']}, here it is {newest()}")
    taken = 0
    for line in islice(lines(), 1, count - 1):
        taken += _take_one(ledger, clusters, _object(line), block=block, now_ms=now_ms, by=by)
    return taken


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _take_one(
    ledger: Ledger, clusters: Clusters, one: dict[str, Any], *, block: Collection[str], now_ms: int, by: str
) -> bool:
    if one["to"] != clusters.own.name:
        raise HandOverError(f"{one['device']['device_id']} is for cluster {one['to']}, and this is {clusters.own.name}")
    device = {name: _from_json(value) for name, value in one["device"].items()}
    device_id = str(device["device_id"])
    with ledger.transaction() as tx:
        row = tx.lock_device(device_id)
        if row is not None and row["state"] != DeviceState.MOVED:
            return False
        if row is not None and int(str(device["moves"])) <= row["moves"]:
            raise HandOverError(f"{device_id} has moved since this file was written; take the newest one")
        if row is None:
            _insert(tx, "devices", {**device, "state": DeviceState.ACTIVE.value})
        else:
            # It comes back: where its chains stand now, the other one knows.
            tx.execute(
                "UPDATE devices SET state = ?, state_reason = NULL, boot_id = ?, moves = ?, last_checkpoint = NULL"
                " WHERE device_id = ?",
                (DeviceState.ACTIVE, device["boot_id"], device["moves"], device_id),
            )
            tx.execute("DELETE FROM lanes WHERE device_id = ?", (device_id,))
            tx.execute("DELETE FROM stand_ins WHERE device_id = ?", (device_id,))
            # They went along, and come back as they stand there now.
            tx.execute("DELETE FROM missing_places WHERE device_id = ?", (device_id,))
        for table in TABLES:
            for values in one[table]:
                _insert(tx, table, {name: _from_json(value) for name, value in values.items()})
        for values in one["certificates"]:
            # Known here from before, and replaced there since: what it was replaced with is what counts.
            tx.execute(
                "UPDATE certificates SET superseded_at = COALESCE(superseded_at, ?) WHERE fingerprint = ?",
                (values["superseded_at"], _from_json(values["fingerprint"])),
            )
        audit.record(tx, at_ms=now_ms, who=by, act="device_taken_over", device=device_id)
        if device_id in block:
            tx.execute(
                "UPDATE devices SET state = ?, state_reason = ? WHERE device_id = ?",
                (DeviceState.BLOCKED, "blocked on arrival", device_id),
            )
            audit.record(tx, at_ms=now_ms, who=by, act="device_blocked", device=device_id)
    return True


def _insert(tx: Transaction, table: str, values: Mapping[str, Value]) -> None:
    names, places = ", ".join(values), ", ".join("?" for _ in values)
    tx.execute(
        f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING",  # noqa: S608 - names of ours
        tuple(values.values()),
    )


def _as_json(value: Any) -> Any:
    return {"hex": bytes(value).hex()} if isinstance(value, bytes | memoryview) else value


def _from_json(value: Any) -> Value:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
