"""How a device becomes ours: one token, one day, one branch, two keys."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from head_office.device_registry import Enrolled
from head_office.errors import BadKeyRequestError, TokenRefusedError
from head_office.keys.authority import DOCUMENT_SIGNING, KeyRequest
from head_office.keys.recipients import load_recipients
from head_office.tokens import new_token, token_hash
from tests.head_office.conftest import Office
from tests.head_office.device import SITE, Device, key_request


def enrol(office: Office, token: str, device: Device, serial: str = "SN-0001") -> Enrolled:
    return office.registry.enrol(
        token,
        serial,
        KeyRequest.parse(key_request(device.tls_key)),
        KeyRequest.parse(key_request(device.signing_key)),
    )


def test_a_token_buys_two_certificates_for_ninety_days(office: Office) -> None:
    """One certificate speaks TLS, the other signs packets, and neither can stand in for the other."""
    token, _ = office.registry.issue_token(SITE, by="test")
    enrolled = enrol(office, token, Device())
    assert enrolled.site == SITE
    usages = []
    for der in (enrolled.tls_certificate, enrolled.signing_certificate):
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(office.home.ca_certificate.read_bytes()))
        assert (certificate.not_valid_after_utc - office.clock.now).days == 90
        usages.append(list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value))
    assert usages == [[ExtendedKeyUsageOID.CLIENT_AUTH], [DOCUMENT_SIGNING]]


def test_a_token_works_once(office: Office) -> None:
    """Whoever finds a used token cannot enrol with it."""
    token, _ = office.registry.issue_token(SITE, by="test")
    enrol(office, token, Device())
    with pytest.raises(TokenRefusedError):
        enrol(office, token, Device())


def test_a_lost_enrolment_reply_costs_nothing(office: Office) -> None:
    """The same device asking again with the same keys gets the same certificates."""
    token, _ = office.registry.issue_token(SITE, by="test")
    device = Device()
    assert enrol(office, token, device) == enrol(office, token, device)
    assert len(office.registry.devices()) == 1


def test_a_token_ends_after_a_day(office: Office) -> None:
    """A token found in an old message is worth nothing."""
    token, _ = office.registry.issue_token(SITE, by="test")
    office.clock.advance(hours=24)
    with pytest.raises(TokenRefusedError):
        enrol(office, token, Device())


def test_a_token_can_be_bound_to_a_serial_number(office: Office) -> None:
    """A token for one machine does not enrol another."""
    token, _ = office.registry.issue_token(SITE, serial="SN-7", by="test")
    with pytest.raises(TokenRefusedError):
        enrol(office, token, Device(), serial="SN-8")
    assert enrol(office, token, Device(), serial="SN-7").device_id


def test_a_token_survives_being_read_out_on_the_telephone(office: Office) -> None:
    """Case, spaces, and letters that look like digits do not matter."""
    token, _ = office.registry.issue_token(SITE, by="test")
    typed = token.lower().replace("0", "o").replace("1", "l").replace("-", " ")
    assert enrol(office, typed, Device()).device_id


def test_tokens_are_kept_as_hashes_only(office: Office) -> None:
    """Whoever reads the ledger cannot enrol a device."""
    token, _ = office.registry.issue_token(SITE, by="test")
    kept = [
        value for table in ("tokens", "acts") for row in office.ledger.read(f"SELECT * FROM {table}") for value in row
    ]
    assert token not in str(kept)
    assert token.replace("-", "") not in str(kept)
    assert token_hash(token) in kept
    files = b"".join(part.read_bytes() for part in office.home.folder.glob("ledger.db*"))
    assert token.encode() not in files


def test_no_two_tokens_are_alike() -> None:
    """A hundred bits: repeated never."""
    assert len({new_token() for _ in range(1000)}) == 1000


def test_one_key_for_both_purposes_is_refused(office: Office) -> None:
    """Custody must stay end to end where TLS ends at a proxy."""
    token, _ = office.registry.issue_token(SITE, by="test")
    key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(BadKeyRequestError):
        enrol(office, token, Device(tls_key=key, signing_key=key))
    assert enrol(office, token, Device()).device_id


def test_p256_signing_keys_are_welcome(office: Office) -> None:
    """A device whose key lies in a TPM has no Ed25519; its claims are accepted all the same."""
    device = Device(signing_key=ec.generate_private_key(ec.SECP256R1()))
    device.enrol_directly(office.registry, load_recipients(office.home), office.signer)
    assert office.receive(device, device.seal()).verdicts[0].verdict.in_custody


def _request_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _forged() -> bytes:
    request = bytearray(key_request(ed25519.Ed25519PrivateKey.generate()))
    request[-1] ^= 1
    return bytes(request)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"\x30\x03\x02\x01\x00",
        lambda: bytes(5000),
        lambda: _request_of(rsa.generate_private_key(65537, 2048)),
        lambda: _request_of(ec.generate_private_key(ec.SECP384R1())),
        _forged,
    ],
    ids=["empty", "not a request", "too long", "rsa", "p384", "signed by another key"],
)
def test_a_bad_key_request_is_refused(make: Callable[[], bytes]) -> None:
    """Only a request that proves possession of a key of an accepted kind is certified."""
    with pytest.raises(BadKeyRequestError):
        KeyRequest.parse(make())
