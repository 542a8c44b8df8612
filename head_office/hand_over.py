"""Devices from one cluster to another: a file of what the other one has to know, and the mark that they have moved.

Handed over here: from now on nothing of theirs is stored here, and they are told to go there. Taken over there: they
are served. Between the two they are told to come later. What was stored here is known there by its digest, so that a
packet that comes again, or late on a stick, is a duplicate there and no fork. Any interruption is safe, and each half
may be repeated.

The file has one JSON object a line and no personal data: names, certificates, chain heads, digests.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from head_office import audit
from head_office.clusters import Clusters
from head_office.device_registry import DeviceState, NoSuchDeviceError
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger, Transaction, Value
from head_office.ledger.migrations.apply import newest

DEVICE_COLUMNS = (
    "device_id",
    "serial",
    "branch_code",
    "kanwil_code",
    "partner_code",
    "site_type",
    "enrolled_at",
    "boot_id",
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


def hand_over(
    ledger: Ledger, clusters: Clusters, devices: Iterable[str], *, to: str | None = None, now_ms: int, by: str
) -> Iterator[str]:
    """Give devices away, one by one; yields the lines of the file.

    A device that was handed over before may be given again, so that a lost file costs nothing. Raises
    NoSuchDeviceError, or HandOverError for a cluster that is not in the list.
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
            tx.execute(
                "UPDATE devices SET state = ?, state_reason = ? WHERE device_id = ?",
                (DeviceState.MOVED, there.name, device_id),
            )
            audit.record(tx, at_ms=now_ms, who=by, act="device_handed_over", device=device_id, to=there.name)
            device = dict(zip(DEVICE_COLUMNS, (_as_json(row[column]) for column in DEVICE_COLUMNS), strict=True))
            tables = {name: list(_rows(tx, name, device_id)) for name in TABLES}
        yield json.dumps({"device": device, "to": there.name, **tables})
        count += 1
    yield json.dumps({"end": count})


def _rows(tx: Transaction, table: str, device_id: str) -> Iterator[dict[str, Any]]:
    columns = TABLES[table]
    names = ", ".join(columns)
    sources = [table, "packets"] if table == "stored_elsewhere" else [table]
    for source in sources:
        for row in tx.execute(f"SELECT {names} FROM {source} WHERE device_id = ?", (device_id,)):  # noqa: S608
            yield dict(zip(columns, (_as_json(row[column]) for column in columns), strict=True))


def take_over(ledger: Ledger, clusters: Clusters, lines: Callable[[], Iterable[str]], *, now_ms: int, by: str) -> int:
    """Take devices over; gives how many are new here. May be repeated.

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
        taken += _take_one(ledger, clusters, _object(line), now_ms=now_ms, by=by)
    return taken


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _take_one(ledger: Ledger, clusters: Clusters, one: dict[str, Any], *, now_ms: int, by: str) -> bool:
    if one["to"] != clusters.own.name:
        raise HandOverError(f"{one['device']['device_id']} is for cluster {one['to']}, and this is {clusters.own.name}")
    device = {name: _from_json(value) for name, value in one["device"].items()}
    device_id = str(device["device_id"])
    with ledger.transaction() as tx:
        row = tx.lock_device(device_id)
        if row is not None and row["state"] != DeviceState.MOVED:
            return False
        if row is None:
            _insert(tx, "devices", {**device, "state": DeviceState.ACTIVE.value})
        else:
            # It comes back: where its chains stand now, the other one knows.
            tx.execute(
                "UPDATE devices SET state = ?, state_reason = NULL, boot_id = ?, last_checkpoint = NULL"
                " WHERE device_id = ?",
                (DeviceState.ACTIVE, device["boot_id"], device_id),
            )
            tx.execute("DELETE FROM lanes WHERE device_id = ?", (device_id,))
            tx.execute("DELETE FROM stand_ins WHERE device_id = ?", (device_id,))
        for table in TABLES:
            for values in one[table]:
                _insert(tx, table, {name: _from_json(value) for name, value in values.items()})
        audit.record(tx, at_ms=now_ms, who=by, act="device_taken_over", device=device_id)
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
