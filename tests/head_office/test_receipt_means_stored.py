"""A receipt is proof of storage: nothing is signed before the commit, and a build that cheats is caught."""

import sqlite3

import psycopg
import pytest

from head_office.errors import LedgerBrokenError, LedgerFullError
from head_office.keys.home import Home
from head_office.ledger.choice import chosen
from head_office.ledger.sqlite import SqliteLedger
from sync.keys import Signer
from sync.receipt import Verdict
from tests.head_office.conftest import Office


class ForgetfulLedger(SqliteLedger):
    """A wrong build: says it has committed and has not."""

    def _commit(self) -> None:
        self._writer.execute("ROLLBACK")


class NearlyFullLedger(SqliteLedger):
    """The disk is full at the moment of the commit."""

    def _commit(self) -> None:
        pages = self._writer.execute("PRAGMA page_count").fetchone()[0]
        self._writer.execute(f"PRAGMA max_page_count = {pages}")
        self._writer.execute("INSERT INTO alarms (at, device_id, kind) VALUES (0, ?, 'x')", ("x" * 1_000_000,))
        super()._commit()


class LookingSigner:
    """Signs receipts, and looks each time what an independent reader finds in the ledger."""

    def __init__(self, signer: Signer, home: Home) -> None:
        self._signer, self._home = signer, home
        self.algorithm, self.public_key, self.kid = signer.algorithm, signer.public_key, signer.kid
        self.found: list[int] = []

    def sign(self, message: bytes) -> bytes:
        choice = chosen(self._home)
        if choice is not None:
            with psycopg.connect(choice.address) as other:
                rows = other.execute("SELECT count(*) FROM packets").fetchall()
        else:
            with sqlite3.connect(f"{self._home.ledger.as_uri()}?mode=ro", uri=True) as reader:
                rows = reader.execute("SELECT count(*) FROM packets").fetchall()
        self.found.append(rows[0][0])
        return self._signer.sign(message)


def acknowledged_and_stored(home: Home, kind: type[SqliteLedger]) -> tuple[list[bytes], list[bytes]]:
    """Send three packets; return the digests that were acknowledged and what the file holds afterwards."""
    office = Office(home)
    device = office.device()
    office.ledger.close()
    office = Office(home, kind)
    packets = [device.seal(number=n) for n in (1, 2, 3)]
    receipt = office.receive(device, *packets)
    acknowledged = [p for p, v in zip(packets, receipt.verdicts, strict=True) if v.verdict.in_custody]
    on_disk = office.lose_to_disk()
    office.ledger.close()
    return acknowledged, on_disk


def test_everything_acknowledged_is_in_the_file(home: Home) -> None:
    """Acked is a part of stored, bytes equal."""
    acknowledged, on_disk = acknowledged_and_stored(home, SqliteLedger)
    assert len(acknowledged) == 3
    assert acknowledged == on_disk


def test_a_build_that_does_not_commit_is_caught(home: Home) -> None:
    """The check above is able to fail: the same steps over a ledger that forgets show acknowledged, unstored claims."""
    acknowledged, on_disk = acknowledged_and_stored(home, ForgetfulLedger)
    assert len(acknowledged) == 3
    assert on_disk == []


def test_the_packets_are_visible_to_others_when_the_receipt_is_signed(office: Office) -> None:
    """At the moment of signing a second reader of the file already finds the batch."""
    device = office.device()
    signer = LookingSigner(office.signer, office.home)
    ingest = office.ingest_with(signer)
    ingest.receive(device.tls_certificate, device.batch(device.seal(number=1), device.seal(number=2)))
    assert signer.found == [2]


def test_a_full_disk_gives_no_receipt_and_loses_nothing(home: Home) -> None:
    """When the commit fails there is no receipt; the same packets are accepted once there is room."""
    office = Office(home)
    device = office.device()
    office.ledger.close()
    packet = device.seal()
    full = Office(home, NearlyFullLedger)
    with pytest.raises(LedgerFullError):
        full.receive(device, packet)
    assert full.stored() == []
    full.ledger.close()
    roomy = Office(home)
    assert roomy.receive(device, packet).verdicts[0].verdict is Verdict.ACCEPTED
    roomy.ledger.close()


def test_after_a_failed_flush_nothing_more_is_accepted(home: Home) -> None:
    """A flush is never tried again in place: the ledger refuses until it was opened and checked anew."""

    class FailingLedger(SqliteLedger):
        def _commit(self) -> None:
            raise LedgerBrokenError("disk I/O error")

    office = Office(home)
    device = office.device()
    office.ledger.close()
    failing = Office(home, FailingLedger)
    for _ in range(2):
        with pytest.raises(LedgerBrokenError):
            failing.receive(device, device.seal())
    with pytest.raises(LedgerBrokenError, match="earlier"):
        failing.receive(device)
    failing.ledger.close()
