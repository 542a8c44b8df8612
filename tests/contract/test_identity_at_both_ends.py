"""Renewal, rotation, deny list and head office's own keys, over real TLS on loopback."""

import contextlib
import io
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from head_office.cli import app
from head_office.keys.trust import KeysError
from head_office.ledger.sqlite import SqliteLedger
from sync.edge.device_key import KeyStore
from sync.edge.key_stores import SIGNING, TLS, KeyStores
from sync.edge.outbox_row import RowState
from sync.edge.sealed_key import Seal
from sync.edge.uploader import RoundOutcome
from sync.errors import Cause, DeviceKeyError, HeadOfficeError, KeyStoreError
from sync.keys import Algorithm
from sync.receipt import Verdict
from tests.contract.laptop import Laptop, losing_replies
from tests.contract.test_both_ends_of_the_wire import set_up_in
from tests.head_office.conftest import Service
from tests.sync.edge.softhsm import SoftHsm

DAYS = timedelta(days=1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One head office for all tests here; each brings its own device."""
    made = Service(set_up_in(tmp_path_factory.mktemp("identity")))
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A head office whose keys a test may change."""
    made = Service(set_up_in(tmp_path))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A device that is not enrolled yet."""
    (tmp_path / "device").mkdir()
    made = Laptop(tmp_path / "device").start()
    yield made
    made.stop()


def rows(service: Service, sql: str, *values: Any) -> list[Any]:
    """What head office's ledger holds, read beside the running service."""
    ledger = SqliteLedger(service.home.ledger)
    found = ledger.read(sql, values)
    ledger.close()
    return list(found)


def admin(service: Service, *arguments: str) -> str:
    """An admin command on the folder of the running service, which is another process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        app([*arguments, "--home", str(service.home.folder)], standalone_mode=False)
    return said.getvalue()


def alarms(service: Service, laptop: Laptop) -> set[str]:
    listed = json.loads(admin(service, "packets", "alarms", "--json"))
    return {alarm["kind"] for alarm in listed if alarm["device_id"] == laptop.device_id}


def opened(service: Service, laptop: Laptop) -> int:
    """How many claims of the device are on the desk, once as many are there as packets came in."""
    packets = rows(service, "SELECT count(*) AS n FROM packets WHERE device_id = ?", laptop.device_id)[0]["n"]
    return len([claim for claim in service.claims(packets) if claim["device_id"] == laptop.device_id])


# --- renewal ---


def test_a_device_renews_from_day_thirty_on_and_goes_on_working(service: Service, laptop: Laptop) -> None:
    """New certificates for the same keys; on day 29 nothing happens."""
    laptop.enrol(service)
    before = laptop.identity
    laptop.ahead = 29 * DAYS
    laptop.round()
    assert laptop.identity.facts == before.facts
    laptop.ahead = 31 * DAYS
    laptop.round()
    after = laptop.identity
    assert after.expires_at > before.expires_at - timedelta(seconds=1)
    assert after.facts.tls_certificate != before.facts.tls_certificate
    assert (after.signer.kid, after.facts.signing_key) == (before.signer.kid, before.facts.signing_key)
    laptop.claim(1)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    assert sorted(file.name for file in after.folder.iterdir()) == sorted(
        [
            "identity.cbor",
            "ca.crt",
            "signing.key",
            "tls.key",
            after.facts.tls_certificate,
            after.facts.signing_certificate,
        ]
    )


def test_a_device_away_for_a_hundred_days_renews_with_the_certificate_that_ran_out(
    service: Service, laptop: Laptop
) -> None:
    """Head office says "expired" to the round, the device renews by itself, and the claim made meanwhile arrives."""
    laptop.enrol_in_the_past(service, 100 * DAYS)
    # Its clock stood still all the while: it believes that all is well.
    laptop.ahead = -100 * DAYS
    laptop.claim(1)
    refused = laptop.round()
    assert (refused.outcome, refused.refused_as) == (RoundOutcome.FAILED, "client_certificate_expired")
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]


def test_a_lost_reply_repeated_gives_the_same_certificates(service: Service, laptop: Laptop) -> None:
    """The old identity works until the new one is whole, and the repetition is the same request."""
    laptop.enrol(service)
    laptop.ahead = 31 * DAYS
    before = laptop.identity.facts
    with losing_replies(laptop, "/v1/renew") as sent:
        laptop.round()
        assert laptop.keeper.problem() is not None
        assert laptop.identity.facts == before
        laptop.claim(1)
        assert len(laptop.round().acked) == 1
        laptop.restart()
        laptop.round()
    assert len(set(sent)) == 1
    given = rows(service, "SELECT * FROM renewals WHERE device_id = ?", laptop.device_id)
    assert len(given) == 1
    laptop.keeper.ask(())
    laptop.round()
    held = laptop.identity.certificate(laptop.identity.facts.tls_certificate)
    assert held.public_bytes(Encoding.DER) == bytes(given[0]["tls_certificate"])


# --- rotation ---


def test_packets_signed_with_the_old_key_are_accepted_after_the_new_one_is_in_use(
    service: Service, laptop: Laptop
) -> None:
    """They were sealed before the rotation and sent after it; those behind them carry the new key."""
    laptop.enrol(service)
    laptop.claim(1)
    old = laptop.identity
    laptop.keeper.ask({SIGNING, TLS})
    with losing_replies(laptop, "/v1/sync"):
        laptop.round()
    new = laptop.identity
    assert new.signer.kid != old.signer.kid
    assert new.tls.kid != old.tls.kid
    laptop.claim(2)
    for _ in range(2):
        laptop.round()
    assert [row.state for row in laptop.outbox.rows()] == [RowState.ACKED, RowState.ACKED]
    kids = rows(service, "SELECT signer_kid, verdict FROM packets WHERE device_id = ? ORDER BY seq", laptop.device_id)
    assert [(bytes(row["signer_kid"]), row["verdict"]) for row in kids] == [
        (old.signer.kid, "accepted"),
        (new.signer.kid, "accepted"),
    ]
    assert opened(service, laptop) == 2
    assert not list(new.folder.glob("signing.key"))


def test_head_office_orders_new_keys_and_hears_that_they_are_made(service: Service, laptop: Laptop) -> None:
    """The command comes with a receipt, the rotation follows, the command is reported as done."""
    laptop.enrol(service)
    old = laptop.identity
    admin(service, "commands", "send", "rotate-keys", laptop.device_id, "--signing")
    laptop.round()
    assert laptop.identity.signer.kid != old.signer.kid
    assert laptop.identity.tls.kid == old.tls.kid
    assert laptop.orders.to_rotate() == frozenset()
    laptop.round()
    listed = json.loads(admin(service, "commands", "list", "--device", laptop.device_id, "--json"))
    assert [(one["name"], one["state"]) for one in listed] == [("rotate_keys", "DONE")]


def test_a_copy_from_before_the_rotation_is_shut_out_and_alarms(
    service: Service, laptop: Laptop, tmp_path: Path
) -> None:
    """A stolen backup holds keys that no longer open anything; the real machine goes on."""
    laptop.enrol(service)
    laptop.round()
    shutil.copytree(laptop.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.lock"))
    laptop.keeper.ask({SIGNING, TLS})
    laptop.round()
    laptop.round()
    copy = Laptop(tmp_path / "copy").start()
    copy.claim(1)
    result = copy.round()
    assert (result.cause, result.refused_as) == (Cause.REFUSED, "keys_replaced")
    copy.keeper.ask(())
    copy.round()
    problem = copy.keeper.problem()
    assert isinstance(problem, HeadOfficeError)
    assert problem.refused_as == "keys_replaced"
    copy.stop()
    assert "old_keys" in alarms(service, laptop)
    laptop.claim(2)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.name)
def test_a_device_with_its_key_in_a_token_enrols_signs_and_rotates(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm
) -> None:
    """The whole way with a real token; while it is pulled out the device says so, and nothing is made in its place."""
    hsm = SoftHsm.make(tmp_path / "hsm", monkeypatch)
    (tmp_path / "device").mkdir()
    laptop = Laptop(tmp_path / "device", hsm.stores(algorithm)).start().enrol(service)
    laptop.claim(1)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    first = laptop.identity.facts.signing_key
    laptop.keeper.ask({SIGNING, TLS})
    laptop.round()
    assert laptop.identity.signer.algorithm is algorithm
    assert laptop.identity.facts.signing_key not in (first, None)
    with pytest.raises(DeviceKeyError, match="holds no key"):
        hsm.stores().open(first, laptop.folder)
    laptop.claim(2)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    hsm.pull_out()
    laptop.restart()
    files = sorted(file.name for file in (laptop.folder / "identity").iterdir())
    with pytest.raises(KeyStoreError, match="no token of that label"):
        laptop.keeper.identity()
    assert sorted(file.name for file in (laptop.folder / "identity").iterdir()) == files
    hsm.plug_in()
    laptop.claim(3)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    laptop.stop()


def test_a_device_with_sealed_keys_holds_its_tls_connection_from_memory(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrolled, delivered, rotated and restarted with keys that lie nowhere in clear."""
    if shutil.which("systemd-creds") is None:
        pytest.skip("systemd-creds (Debian package systemd) is not on this machine")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host.secret"))
    seal = tmp_path / "seal"
    Seal(seal).create()

    def stores() -> KeyStores:
        return KeyStores(signing=KeyStore.SYSTEMD_CREDS, tls=KeyStore.SYSTEMD_CREDS, seal=Seal(seal))

    (tmp_path / "device").mkdir()
    laptop = Laptop(tmp_path / "device", stores()).start().enrol(service)
    laptop.claim(1)
    assert len(laptop.round().acked) == 1
    laptop.keeper.ask({SIGNING, TLS})
    laptop.round()
    laptop.stores = stores()
    laptop.restart()
    laptop.claim(2)
    assert len(laptop.round().acked) == 1
    names = {file.name: file.read_bytes() for file in (laptop.folder / "identity").iterdir()}
    assert len([name for name in names if name.endswith(".sealed")]) == 2
    assert not any(b"PRIVATE KEY" in content for content in names.values())
    laptop.stop()


# --- the deny list ---


def test_a_blocked_device_can_neither_deliver_nor_renew_and_keeps_its_queue(service: Service, laptop: Laptop) -> None:
    """It counts on the connection that is open already; the device hears a named reason."""
    laptop.enrol(service)
    laptop.round()
    laptop.claim(1)
    laptop.keeper.ask({SIGNING, TLS})
    admin(service, "devices", "block", laptop.device_id, "--reason", "reported stolen")
    result = laptop.round()
    assert (result.cause, result.refused_as) == (Cause.REFUSED, "device_blocked")
    problem = laptop.keeper.problem()
    assert isinstance(problem, HeadOfficeError)
    assert problem.refused_as == "device_blocked"
    assert [row.state for row in laptop.outbox.rows()] == [RowState.READY]
    admin(service, "devices", "unblock", laptop.device_id)
    old = laptop.identity.signer.kid
    laptop.keeper.ask({SIGNING, TLS})
    assert len(laptop.round().acked) == 1
    assert laptop.identity.signer.kid != old


def test_a_resumed_tls_session_is_no_way_around_the_deny_list(service: Service, laptop: Laptop) -> None:
    """The certificate is looked up for each request, not when the session was made."""
    laptop.enrol(service)
    host, port = service.url.removeprefix("https://").rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(laptop.identity.ca_certificate))
    context.load_cert_chain(laptop.identity.tls_certificate, laptop.identity.tls_key)

    def ask(session: ssl.SSLSession | None) -> tuple[bytes, bool | None, ssl.SSLSession | None]:
        with socket.create_connection((host, int(port))) as plain:
            with context.wrap_socket(plain, server_hostname=host, session=session) as line:
                line.sendall(b"POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n\xa0")
                answer = line.recv(65536)
                while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 10:
                    answer += line.recv(65536)
                return answer, line.session_reused, line.session

    first, _, session = ask(None)
    assert b"bad_request" in first
    again, reused, session = ask(session)
    assert (b"bad_request" in again, reused) == (True, True)
    admin(service, "devices", "block", laptop.device_id, "--reason", "reported stolen")
    denied, reused, _ = ask(session)
    assert (b"device_blocked" in denied, reused) == (True, True)


# --- head office's own keys ---


def test_a_new_receipt_key_is_learnt_from_a_receipt_of_an_old_one(own_service: Service, tmp_path: Path) -> None:
    """Two rotations while one device was away: its first receipt is of the key it knows, the next of the newest."""
    service = own_service
    near, far = (Laptop(tmp_path / name) for name in ("near", "far"))
    for laptop in (near, far):
        laptop.folder.mkdir()
        laptop.start().enrol(service)
    first = near.identity.facts.receipt_keys[0].kid
    for serial in (2, 3):
        admin(service, "keys", "rotate", "receipt")
        assert near.round().cause is None
        assert near.identity.facts.trust_serial == serial
    assert len(near.identity.facts.receipt_keys) == 3
    assert far.identity.facts.trust_serial == 1
    for laptop in (near, far):
        # The second receipt is signed with a key that the first one taught.
        assert laptop.round().cause is None
        assert laptop.round().cause is None
        assert laptop.identity.facts.trust_serial == 3
    listed = json.loads(admin(service, "keys", "list", "--json"))
    assert (listed["serial"], listed["devices_behind"]) == (3, 0)
    admin(service, "keys", "retire", first.hex())
    for laptop in (near, far):
        assert laptop.round().cause is None
        assert first not in {key.kid for key in laptop.identity.facts.receipt_keys}
        laptop.restart()
        assert laptop.round().cause is None
        laptop.stop()


def test_a_key_cannot_be_retired_while_a_device_knows_no_other(own_service: Service, laptop: Laptop) -> None:
    """The command names the device; that device would take no receipt any more."""
    service = own_service
    laptop.enrol(service)
    kid = laptop.identity.facts.receipt_keys[0].kid.hex()
    admin(service, "keys", "rotate", "receipt")
    with pytest.raises(KeysError, match=laptop.device_id):
        admin(service, "keys", "retire", kid)
    laptop.round()
    laptop.round()
    admin(service, "keys", "retire", kid)
    assert laptop.round().cause is None


def test_packets_sealed_to_old_and_new_keys_are_opened_side_by_side(service: Service, laptop: Laptop) -> None:
    """The opening worker finds the new private half by itself; nothing is restarted."""
    laptop.enrol(service)
    before = laptop.identity.facts.recipients
    laptop.claim(1)
    admin(service, "keys", "rotate", "recipient")
    laptop.claim(2)
    laptop.round()
    after = laptop.identity.facts.recipients
    assert not {one.kid for one in before} & {one.kid for one in after}
    laptop.claim(3)
    laptop.round()
    laptop.round()
    assert opened(service, laptop) == 3
