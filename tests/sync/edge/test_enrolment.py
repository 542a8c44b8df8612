"""Enrolment over real TLS: a token becomes an identity, whole or not at all, from the authority that was brought."""

import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sync import enrolment as wire
from sync.edge import identity
from sync.edge.enrolment import enrol
from sync.edge.identity import Identity
from sync.edge.key_stores import KeyStores
from sync.enrolment import EnrolReply, EnrolRequest, ErrorReply, ReceiptKey, Site, SiteType
from sync.errors import (
    AddressError,
    AuthorityFileError,
    Cause,
    DeviceKeyError,
    DeviceSerialError,
    EnrolmentTokenError,
    HeadOfficeError,
    IdentityError,
    NotEnrolledError,
    SyncError,
)
from sync.keys import Algorithm, spki
from tests.sync.edge.conftest import START, DeviceKeys
from tests.sync.edge.tls_server import Authority, TlsServer, http

TOKEN = "t" * 40
SITE = Site(branch_code="ZZ01", kanwil_code="ZZ", site_type=SiteType.BRANCH)


class Office:
    """Head office, as far as enrolment goes; tests change its replies."""

    def __init__(self, folder: Path, keys: DeviceKeys) -> None:
        self.folder, self.keys = folder, keys
        self.authority = Authority(folder)
        self.issuer = self.authority
        self.change: Callable[[EnrolReply], dict[str, Any]] = lambda _reply: {}
        self.seen: list[EnrolRequest] = []
        self.server = TlsServer(self.authority.identity("127.0.0.1"), self.answer)

    def answer(self, path: str, body: bytes, connection: ssl.SSLSocket) -> None:
        assert path == "/v1/enrol"
        request = wire.decode_request(body)
        self.seen.append(request)
        if request.token != TOKEN:
            error = wire.encode(ErrorReply(error="token_refused", hint="Ask for a new one."))
            connection.sendall(http("403 Forbidden", "application/cbor", error))
            return
        connection.sendall(http("200 OK", "application/cbor", wire.encode(self.reply_to(request))))

    def reply_to(self, request: EnrolRequest) -> EnrolReply:
        content: dict[str, Any] = {
            "device_id": "dev-000007",
            "tls_certificate": self.certificate(request.tls_csr),
            "signing_certificate": self.certificate(request.signing_csr),
            "ca_certificate": self.authority.certificate.public_bytes(Encoding.DER),
            "receipt_keys": (ReceiptKey(kid=self.keys.office.kid, spki=spki(self.keys.office.public_key)),),
            "recipients": (self.keys.recipient.public,),
            "site": SITE,
        }
        return EnrolReply(**(content | self.change(EnrolReply(**content))))

    def certificate(self, csr: bytes) -> bytes:
        request = x509.load_der_x509_csr(csr)
        assert request.is_signature_valid
        return self.issuer.issue("dev-000007", request.public_key()).public_bytes(Encoding.DER)  # type: ignore[arg-type]

    def enrol(self, **changes: Any) -> Identity:
        arguments: dict[str, Any] = {
            "url": self.server.url,
            "token": TOKEN,
            "ca_file": self.authority.file,
            "device_serial": "PC-0001",
            "folder": self.folder / "state" / "identity",
            "now": START,
        }
        return enrol(**(arguments | changes))


@pytest.fixture
def office(tmp_path: Path, device_keys: DeviceKeys) -> Iterator[Office]:
    made = Office(tmp_path, device_keys)
    with made.server:
        yield made


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.name)
def test_a_token_becomes_an_identity_that_survives_a_restart(office: Office, algorithm: Algorithm) -> None:
    """Id, site, receipt keys and recipients are pinned; both keys fit their certificates."""
    made = office.enrol(stores=KeyStores(algorithm=algorithm))
    again = Identity.load(made.folder)
    assert (again.device_id, again.site, again.facts) == ("dev-000007", SITE, made.facts)
    assert again.facts.recipients == (office.keys.recipient.public,)
    assert list(again.trust.receipt_keys) == [office.keys.office.kid]
    assert again.signer.kid == made.signer.kid
    assert again.signer.algorithm is algorithm


def test_every_file_of_the_identity_is_the_owners_alone(office: Office) -> None:
    """Keys above all, but nobody else needs the rest either; the folder too."""
    folder = office.enrol().folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_wrong_token_is_refused_with_head_offices_word_and_leaves_no_identity(office: Office) -> None:
    """The technician sees why; the next try with a good token works and uses the same keys."""
    with pytest.raises(HeadOfficeError) as caught:
        office.enrol(token="x" * 40)
    assert (caught.value.cause, caught.value.refused_as) == (Cause.REFUSED, "token_refused")
    with pytest.raises(NotEnrolledError):
        Identity.load(office.folder / "state" / "identity")
    office.enrol()
    first, second = (x509.load_der_x509_csr(request.signing_csr).public_key() for request in office.seen)
    assert first == second


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"url": "http://127.0.0.1:1"}, AddressError),
        ({"url": "https://127.0.0.1:1/v1/enrol"}, AddressError),
        ({"token": "7K2QF"}, EnrolmentTokenError),
        ({"token": "7K2QF-7K2QF-7K2QF-7K2QF\u00a0!"}, EnrolmentTokenError),
        ({"token": ""}, EnrolmentTokenError),
        ({"device_serial": "SN/1"}, DeviceSerialError),
    ],
)
def test_what_cannot_be_right_is_told_before_anything_is_sent_or_made(
    office: Office, change: dict[str, Any], kind: type[SyncError]
) -> None:
    """The technician is told which of the things they brought is wrong, not something about the network."""
    with pytest.raises(kind) as caught:
        office.enrol(**change)
    assert type(caught.value) is kind
    assert "7K2QF" not in str(caught.value)
    assert office.server.requests == []
    assert not (office.folder / "state").exists()


@pytest.mark.parametrize("content", [b"", b"7K2QF", b"\x30\x82\x01\x0a", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_authority_file_that_is_no_certificate_is_called_that(office: Office, content: bytes) -> None:
    """And not "somebody else answers in head office's place": nobody was even asked."""
    brought = office.folder / "brought.crt"
    with pytest.raises(AuthorityFileError, match="brought"):
        office.enrol(ca_file=brought)
    brought.write_bytes(content)
    with pytest.raises(AuthorityFileError, match="PEM"):
        office.enrol(ca_file=brought)
    assert office.server.requests == []


def test_a_token_may_be_typed_with_the_spaces_it_was_read_out_with(office: Office) -> None:
    """Head office sees it without."""
    office.enrol(token=f" {TOKEN[:20]} {TOKEN[20:]}\n")
    assert office.seen[0].token == TOKEN


def test_a_second_enrolment_does_not_replace_the_first(office: Office) -> None:
    """Its queue could not be delivered any more; whoever wants that removes the folder."""
    office.enrol()
    with pytest.raises(IdentityError, match="enrolled already"):
        office.enrol()
    assert len(office.seen) == 1


def test_a_head_office_under_another_authority_is_not_spoken_to(office: Office, tmp_path: Path) -> None:
    """The token is not shown to whoever answers."""
    with pytest.raises(HeadOfficeError) as caught:
        office.enrol(ca_file=Authority(tmp_path, "Other CA").file)
    assert caught.value.cause is Cause.WRONG_CERTIFICATE
    assert office.seen == []


def test_a_reply_that_names_another_authority_is_refused(office: Office, tmp_path: Path) -> None:
    """What is pinned is what the technician brought."""
    other = Authority(tmp_path, "Other CA")
    office.change = lambda _reply: {"ca_certificate": other.certificate.public_bytes(Encoding.DER)}
    with pytest.raises(IdentityError, match="another certificate authority"):
        office.enrol()


def test_a_certificate_of_another_authority_is_refused(office: Office, tmp_path: Path) -> None:
    """Both certificates must come from the pinned one."""
    office.issuer = Authority(tmp_path, "Other CA")
    with pytest.raises(IdentityError, match="pinned authority"):
        office.enrol()


def test_a_certificate_for_another_key_is_refused(office: Office) -> None:
    """A mix-up at head office would give a device that can not prove what it signs."""
    office.change = lambda reply: {"signing_certificate": reply.tls_certificate}
    with pytest.raises(IdentityError, match="another key"):
        office.enrol()


def test_a_reply_that_is_none_is_called_that(office: Office) -> None:
    """Rubbish under the right content type."""
    office.server.answer = lambda _path, _body, connection: connection.sendall(
        http("200 OK", "application/cbor", b"\xa0")
    )
    with pytest.raises(HeadOfficeError) as caught:
        office.enrol()
    assert caught.value.cause is Cause.BROKEN_REPLY


@pytest.mark.parametrize("damage", [identity.FACTS, identity.SIGNING_CERTIFICATE, identity.TLS_CERTIFICATE])
def test_a_damaged_identity_names_the_file(office: Office, damage: str) -> None:
    """The technician is told which file, not that something is wrong."""
    folder = office.enrol().folder
    (folder / damage).write_bytes(b"\xa1rubbish")
    with pytest.raises(IdentityError, match=damage.replace(".", r"\.")):
        Identity.load(folder)


def test_a_key_that_was_exchanged_is_noticed(office: Office) -> None:
    """The signing key must be the one that was certified."""
    folder = office.enrol().folder
    (folder / identity.SIGNING_KEY).write_bytes((folder / identity.TLS_KEY).read_bytes())
    with pytest.raises(IdentityError, match="another key"):
        Identity.load(folder)


def test_a_lost_key_is_called_lost(office: Office) -> None:
    """And not "not enrolled": that would invite a second enrolment."""
    folder = office.enrol().folder
    (folder / identity.SIGNING_KEY).unlink()
    with pytest.raises(DeviceKeyError):
        Identity.load(folder)
