"""Killed at every single write of a renewal: there is a whole identity at every moment, and the next try ends it."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from sync import cbor
from sync import enrolment as enrol_wire
from sync import renewal as wire
from sync.edge import identity, renewal
from sync.edge.device_key import KeyStore
from sync.edge.enrolment import enrol
from sync.edge.head_office_client import Reply
from sync.edge.identity import Identity
from sync.edge.key_stores import SIGNING, TLS, KeyStores
from sync.enrolment import EnrolReply, ReceiptKey, Site, SiteType
from sync.errors import Cause, DeviceKeyError, HeadOfficeError, IdentityError
from sync.keys import SoftwareSigner, is_signature, spki
from sync.trust import Trusted
from tests.sync.edge.conftest import START, DeviceKeys
from tests.sync.edge.tls_server import Authority

SITE = Site(branch_code="ZZ01", kanwil_code="ZZ", site_type=SiteType.BRANCH)
DEVICE = "dev-000007"
KILLED = 77
CALLS = ("write", "fsync", "replace", "rename", "unlink", "open", "remove")
"""Everything a renewal does to the disk goes through these."""


@dataclass
class Office:
    """Head office, as far as certificates go, in this process."""

    authority: Authority
    keys: DeviceKeys
    refuse: str | None = None
    change: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def post(self, path: str, body: bytes) -> Reply:
        if self.refuse is not None:
            raise HeadOfficeError(Cause.REFUSED, "HTTP 403", refused_as=self.refuse)
        if path == wire.PATH:
            request = wire.read_request(body).claimed
            facts = {
                "device_id": DEVICE,
                "tls_certificate": self._certificate(request.tls_csr),
                "signing_certificate": self._certificate(request.signing_csr),
            }
            return Reply(wire.encode_reply(wire.RenewReply(**self.change(facts))), 0, 1)
        asked = enrol_wire.decode_request(body)
        reply = EnrolReply(
            device_id=DEVICE,
            tls_certificate=self._certificate(asked.tls_csr),
            signing_certificate=self._certificate(asked.signing_csr),
            ca_certificate=self.authority.certificate.public_bytes(Encoding.DER),
            receipt_keys=(ReceiptKey(kid=self.keys.office.kid, spki=spki(self.keys.office.public_key)),),
            recipients=(self.keys.recipient.public,),
            site=SITE,
        )
        return Reply(enrol_wire.encode(reply), 0, 1)

    def _certificate(self, csr: bytes) -> bytes:
        key = x509.load_der_x509_csr(csr).public_key()
        return self.authority.issue(DEVICE, key).public_bytes(Encoding.DER)  # type: ignore[arg-type]

    def enrol(self, folder: Path) -> Identity:
        return enrol(
            url="https://127.0.0.1:1",
            token="t" * 40,
            ca_file=self.authority.file,
            device_serial="PC-0001",
            folder=folder,
            now=START,
            connect=lambda _url, _ca: self,  # type: ignore[arg-type,return-value]
        )


@pytest.fixture
def office(tmp_path: Path, device_keys: DeviceKeys) -> Office:
    return Office(Authority(tmp_path), device_keys)


def killed_at(call: int, act: Callable[[], object]) -> bool:
    """Run ``act`` in a child that dies, without any cleaning up, right before its ``call``-th touch of the disk."""
    child = os.fork()
    if child == 0:
        seen = 0
        for name in CALLS:
            original = getattr(os, name)

            def counted(*arguments: Any, _original: Any = original, **named: Any) -> Any:
                nonlocal seen
                seen += 1
                if seen == call:
                    os._exit(KILLED)
                return _original(*arguments, **named)

            setattr(os, name, counted)
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


@pytest.mark.parametrize("new_keys", [(), (SIGNING, TLS)], ids=["renewal", "rotation"])
def test_a_kill_at_any_write_leaves_a_whole_identity(office: Office, tmp_path: Path, new_keys: tuple[str, ...]) -> None:
    """Old or new, it loads and its key fits its certificate; the next try ends with new certificates and no litter."""
    call, enrolled = 0, office.enrol(tmp_path / "enrolled").folder
    while True:
        call += 1
        folder = tmp_path / f"at-{call}"
        shutil.copytree(enrolled, folder)
        made = Identity.load(folder)
        killed = killed_at(call, partial(renewal.renew, made, office, KeyStores(), new_keys=new_keys))
        found = renewal.settle(folder, KeyStores())
        assert is_signature(found.signer.public_key, found.signer.algorithm, found.signer.sign(b"x"), b"x")
        if not killed:
            break
        switched = found.facts.signing_certificate != made.facts.signing_certificate
        wanted = () if switched else new_keys
        ended = renewal.renew(found, office, KeyStores(), new_keys=wanted)
        assert ended.facts.signing_certificate != made.facts.signing_certificate
        assert (ended.signer.kid != made.signer.kid) == (SIGNING in new_keys)
        assert (ended.tls.kid != made.tls.kid) == (TLS in new_keys)
        facts = ended.facts
        named = {facts.signing_certificate, facts.tls_certificate, facts.signing_key.name, facts.tls_key.name}
        assert {file.name for file in folder.iterdir()} == named | {identity.FACTS, identity.CA_CERTIFICATE}
    # A renewal writes its plan, its request, two certificates and the switch, each with flush and rename.
    assert call > 20


def test_the_plan_is_kept_so_that_no_key_is_made_twice(office: Office, tmp_path: Path) -> None:
    """Head office away three times: the same bytes are asked, the same key files are there."""
    made = office.enrol(tmp_path / "identity")

    class Away(Office):
        def post(self, path: str, body: bytes) -> Reply:
            asked.append(body)
            raise HeadOfficeError(Cause.UNREACHABLE)

    asked: list[bytes] = []
    for _ in range(3):
        with pytest.raises(HeadOfficeError):
            renewal.renew(made, Away(office.authority, office.keys), KeyStores(), new_keys=(SIGNING, TLS))
    assert len(set(asked)) == 1
    assert len(list(made.folder.glob("*.key"))) == 4
    assert Identity.load(made.folder).facts == made.facts


def test_a_refused_rotation_leaves_nothing_behind(office: Office, tmp_path: Path) -> None:
    """The next one begins afresh; being blocked is no reason to give the request up."""
    made = office.enrol(tmp_path / "identity")
    office.refuse = "device_blocked"
    with pytest.raises(HeadOfficeError):
        renewal.renew(made, office, KeyStores(), new_keys=(SIGNING, TLS))
    assert (made.folder / identity.PENDING).exists()
    office.refuse = "renewal_refused"
    with pytest.raises(HeadOfficeError):
        renewal.renew(made, office, KeyStores(), new_keys=(SIGNING, TLS))
    assert len(list(made.folder.glob("*.key"))) == 2
    office.refuse = None
    assert renewal.renew(made, office, KeyStores(), new_keys=(SIGNING, TLS)).signer.kid != made.signer.kid


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda reply: {**reply, "device_id": "dev-000008"}, HeadOfficeError),
        (lambda reply: {**reply, "tls_certificate": reply["signing_certificate"]}, IdentityError),
        (lambda reply: {**reply, "tls_certificate": b"rubbish"}, IdentityError),
    ],
)
def test_a_reply_that_does_not_fit_changes_nothing(
    office: Office, tmp_path: Path, change: Any, kind: type[Exception]
) -> None:
    """A mix-up at head office would give a device that can not prove what it signs."""
    made = office.enrol(tmp_path / "identity")
    office.change = change
    with pytest.raises(kind):
        renewal.renew(made, office, KeyStores())
    assert Identity.load(made.folder).facts == made.facts
    office.change = dict
    assert renewal.renew(made, office, KeyStores()).facts.tls_certificate != made.facts.tls_certificate


def test_a_changed_setting_moves_no_key(office: Office, tmp_path: Path) -> None:
    """A rotation stays in the store the key is recorded in; settings that say otherwise are told apart."""
    made = office.enrol(tmp_path / "identity")
    with pytest.raises(DeviceKeyError, match="set it back"):
        renewal.renew(made, office, KeyStores(signing=KeyStore.PKCS11), new_keys=(SIGNING,))
    assert renewal.settle(made.folder, KeyStores()).signer.kid == made.signer.kid


def test_an_identity_of_the_first_version_goes_on(office: Office, tmp_path: Path) -> None:
    """Devices enrolled before there were key stores keep their files and renew like others."""
    made = office.enrol(tmp_path / "identity")
    new = ("trust_serial", "signing_key", "signing_certificate", "tls_key", "tls_certificate", "retired")
    first = {name: value for name, value in made.facts.to_map().items() if name not in new} | {"version": 1}
    (made.folder / identity.FACTS).write_bytes(cbor.encode(first))
    assert Identity.load(made.folder).facts == made.facts
    assert renewal.renew(Identity.load(made.folder), office, KeyStores()).device_id == DEVICE


def test_an_older_list_of_keys_is_not_gone_back_to(office: Office, tmp_path: Path, device_keys: DeviceKeys) -> None:
    """A newer one replaces what is pinned and survives a restart."""
    made = office.enrol(tmp_path / "identity")
    other = SoftwareSigner(ed25519.Ed25519PrivateKey.generate())
    newer = Trusted(
        serial=3,
        receipt_keys=(ReceiptKey(kid=other.kid, spki=spki(other.public_key)),),
        recipients=made.facts.recipients,
    )
    learnt = made.learn(newer)
    assert list(learnt.trust.receipt_keys) == [other.kid]
    assert list(Identity.load(made.folder).trust.receipt_keys) == [other.kid]
    assert learnt.learn(replace(newer, serial=2, receipt_keys=made.facts.receipt_keys)) is learnt
