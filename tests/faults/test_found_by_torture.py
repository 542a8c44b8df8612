"""What the fault tools found, each as a test of its own."""

import resource
import shutil
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bench.faults.rig import certificate_request, found_office
from head_office.errors import BadKeyRequestError
from head_office.keys.authority import KeyRequest
from head_office.ledger.sqlite import SqliteLedger


def test_a_key_request_of_a_version_that_is_none_is_refused_by_name() -> None:
    """The library has an exception of its own for it, which no list of the usual ones holds."""
    request = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    assert KeyRequest.parse(request)
    with pytest.raises(BadKeyRequestError):
        KeyRequest.parse(request.replace(b"\x02\x01\x00", b"\x02\x01\x20", 1))


def test_a_ledger_whose_log_does_not_fit_into_the_file_closes_in_order(tmp_path: Path) -> None:
    """The file may not grow any more; its log stays as it is, and the next open finds everything in it."""
    home = found_office(tmp_path / "office")
    ledger = SqliteLedger(home.ledger)
    with ledger.transaction() as tx:
        tx.execute("CREATE TABLE filler (bytes BLOB)")
        tx.execute("INSERT INTO filler VALUES (?)", (bytes(50_000),))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (home.ledger.stat().st_size, before[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            ledger._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ledger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    copied = tmp_path / "copied"
    shutil.copytree(home.folder, copied)
    again = SqliteLedger(copied / home.ledger.name)
    assert again.read("SELECT length(bytes) FROM filler")[0][0] == 50_000
    again.close()
