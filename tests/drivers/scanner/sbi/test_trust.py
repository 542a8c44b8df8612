"""Who may vouch for a device: the technician's certificates, and nobody else's."""

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as some

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.mock.identity import MockIdentity, as_json, base64url, signed
from drivers.scanner.sbi.signed import open_signed
from drivers.scanner.sbi.trust import Roots, check_chain

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]


@dataclass(frozen=True)
class Made:
    key: Key
    certificate: x509.Certificate


def made(
    name: str,
    key: Key,
    by: Made | None = None,
    *,
    ca: bool = True,
    path: int | None = None,
    usage: str | None = None,
    until: datetime.datetime = NOW + DAY,
    digest: hashes.SHA256 | hashes.SHA224 = hashes.SHA256(),  # noqa: B008 - it has no state
) -> Made:
    """A certificate with the one oddity that is asked for."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(until - 2 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path if ca else None), critical=True)
    )
    if usage is not None:
        words = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        builder = builder.add_extension(x509.KeyUsage(**{word: word == usage for word in words + more}), critical=True)
    return Made(key, builder.sign(by.key if by else key, digest))


ROOT = made("root", KEYS[0])
PROVIDER = made("provider", KEYS[1], ROOT)


def verdict(leaf: Made, *trusted: Made) -> Refusal | None:
    try:
        check_chain(leaf.certificate, [one.certificate for one in trusted], NOW)
    except WrongAnswerError as refused:
        return refused.refusal
    return None


def test_a_device_of_a_provider_of_a_root() -> None:
    """All but the device's own certificate lie in the folder, in any order."""
    leaf = made("device", KEYS[2], PROVIDER, ca=False)
    assert verdict(leaf, PROVIDER, ROOT) is None
    assert verdict(leaf, ROOT, PROVIDER) is None


def test_a_way_that_ends_before_a_root() -> None:
    """A provider alone vouches for nothing, nor a root the provider's certificate does not lead to."""
    leaf = made("device", KEYS[2], PROVIDER, ca=False)
    assert verdict(leaf, PROVIDER) is Refusal.CERTIFICATE_CHAIN
    assert verdict(leaf, ROOT) is Refusal.CERTIFICATE_CHAIN
    assert verdict(leaf) is Refusal.CERTIFICATE_CHAIN
    assert verdict(leaf, PROVIDER, made("root", KEYS[2])) is Refusal.CERTIFICATE_CHAIN


def test_a_certificate_in_the_folder_that_may_not_issue() -> None:
    """A device's certificate put there by mistake does not make its owner an authority."""
    device = made("device", KEYS[1], ROOT, ca=False)
    assert verdict(made("other", KEYS[2], device, ca=False), device, ROOT) is Refusal.CERTIFICATE_CHAIN
    stamps = made("stamps", KEYS[1], ROOT, usage="digital_signature")
    assert verdict(made("other", KEYS[2], stamps, ca=False), stamps, ROOT) is Refusal.CERTIFICATE_CHAIN


def test_a_root_that_allows_no_one_between() -> None:
    """Its path length is kept."""
    short = made("root", KEYS[0], path=0)
    provider = made("provider", KEYS[1], short)
    assert verdict(made("device", KEYS[2], short, ca=False), short) is None
    assert verdict(made("device", KEYS[2], provider, ca=False), provider, short) is Refusal.CERTIFICATE_CHAIN


def test_a_way_without_end() -> None:
    """Two that vouch for each other are followed only so far."""
    one = made("one", KEYS[0], made("two", KEYS[1]))
    two = made("two", KEYS[1], made("one", KEYS[0]))
    assert verdict(made("device", KEYS[2], one, ca=False), one, two) is Refusal.CERTIFICATE_CHAIN


@pytest.mark.parametrize(
    ("seconds", "refusal"),
    [
        (-181, Refusal.CERTIFICATE_EXPIRED),
        (-179, None),
        (2 * 86400 + 179, None),
        (2 * 86400 + 181, Refusal.CERTIFICATE_NOT_YET),
    ],
)
def test_dates_count_with_the_band_on_both_sides(seconds: int, refusal: Refusal | None) -> None:
    """Three minutes: what ended before, or begins after, is refused; the same for whoever issued it."""
    until = NOW + datetime.timedelta(seconds=seconds)
    assert verdict(made("device", KEYS[2], ROOT, ca=False, until=until), ROOT) is refusal
    old = made("root", KEYS[0], until=until)
    assert verdict(made("device", KEYS[2], old, ca=False), old) is refusal


def test_keys_that_are_too_weak_or_of_another_kind() -> None:
    """1024 bits, or no RSA at all: RS256 needs RSA of its day."""
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert verdict(made("device", small, ROOT, ca=False), ROOT) is Refusal.CERTIFICATE_UNFIT
    curve = ec.generate_private_key(ec.SECP256R1())
    assert verdict(made("device", curve, ROOT, ca=False), ROOT) is Refusal.CERTIFICATE_UNFIT


def test_a_certificate_signed_with_a_hash_of_another_time() -> None:
    """SHA-256 or longer."""
    leaf = made("device", KEYS[2], ROOT, ca=False, digest=hashes.SHA224())
    assert verdict(leaf, ROOT) is Refusal.CERTIFICATE_UNFIT


def test_a_key_that_is_not_for_signing() -> None:
    """A certificate for encryption signs nothing."""
    assert verdict(made("device", KEYS[2], ROOT, ca=False, usage="key_encipherment"), ROOT) is Refusal.CERTIFICATE_UNFIT
    assert verdict(made("device", KEYS[2], ROOT, ca=False, usage="digital_signature"), ROOT) is None


def test_a_certificate_with_unreadable_extensions() -> None:
    """Refused, whatever else it says."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    broken = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ROOT.certificate.subject)
        .public_key(KEYS[2].public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.UnrecognizedExtension(x509.KeyUsage.oid, b"nothing"), critical=True)
        .sign(ROOT.key, hashes.SHA256())
    )
    assert verdict(Made(KEYS[2], broken), ROOT) is Refusal.CERTIFICATE_UNFIT


def test_certificates_of_the_answer_vouch_for_nothing(identity: MockIdentity) -> None:
    """A whole chain to a root of its own, sent along, is still nobody's the technician knows."""
    chain = [identity.stranger, identity.device_root]
    x5c = [base64.b64encode(one.certificate.public_bytes(Encoding.DER)).decode("ascii") for one in chain]
    token = signed({"a": "b"}, identity.stranger, x5c=x5c)
    with pytest.raises(WrongAnswerError) as refused:
        open_signed(token, [identity.device_root.certificate], identity.now, "data")
    assert refused.value.refusal is Refusal.CERTIFICATE_CHAIN


def _tokens(identity: MockIdentity) -> Sequence[tuple[str, Refusal]]:
    good = signed({"a": "b"}, identity.device)
    head, payload, signature = good.split(".")
    return [
        ("", Refusal.NOT_SIGNED),
        (f"{head}.{payload}", Refusal.NOT_SIGNED),
        (f"{good}.{signature}", Refusal.NOT_SIGNED),
        (f"{head}.{payload}.{signature}=", Refusal.NOT_SIGNED),
        (f"{head}.{base64url(as_json({'a': 'c'}))}.{signature}", Refusal.SIGNATURE),
        (f"{head}.{payload}.", Refusal.SIGNATURE),
        (f"{head}.{payload}.{signature[:-4]}", Refusal.SIGNATURE),
        (f"{base64url(b'nothing')}.{payload}.{signature}", Refusal.NOT_JSON),
        (f"{base64url(b'[]')}.{payload}.{signature}", Refusal.SHAPE),
        (signed({"a": "b"}, identity.device, alg="RS512"), Refusal.ALGORITHM),
        (
            f"{base64url(as_json({'alg': 'RS256', 'crit': ['b64'], 'b64': False}))}.{payload}.{signature}",
            Refusal.ALGORITHM,
        ),
        (signed({"a": "b"}, identity.device, x5c=[]), Refusal.NO_CERTIFICATE),
        (signed({"a": "b"}, identity.device, x5c=["AAAA"]), Refusal.NO_CERTIFICATE),
        (signed({"a": "b"}, identity.device, x5c=["not base64!"]), Refusal.NO_CERTIFICATE),
        (signed(b"[]", identity.device), Refusal.SHAPE),
        (signed(b"nothing", identity.device), Refusal.NOT_JSON),
    ]


def test_a_signed_message_in_every_wrong_form(identity: MockIdentity) -> None:
    """Form, algorithm, certificate, signature, then content: each refused by its name."""
    trusted = [identity.device_root.certificate]
    assert open_signed(signed({"a": "b"}, identity.device), trusted, identity.now, "data").payload == {"a": "b"}
    for token, refusal in _tokens(identity):
        with pytest.raises(WrongAnswerError) as refused:
            open_signed(token, trusted, identity.now, "data")
        assert refused.value.refusal is refusal, token[:60]


@given(some.text(alphabet="AZaz09-_.=+/ é", max_size=60))
def test_any_text_is_no_signed_message(token: str) -> None:
    """Refused, never another error."""
    with pytest.raises(WrongAnswerError):
        open_signed(token, [], NOW, "data")


def test_roots_of_both_kinds_are_kept_apart(roots: Path, identity: MockIdentity) -> None:
    """The folder is for device keys, its sub-folder for secure chips; other files are left alone."""
    (roots / "README.txt").write_text("not a certificate")
    loaded = Roots.load(roots)
    assert loaded.device == (identity.device_root.certificate,)
    assert loaded.ftm == (identity.ftm_root.certificate,)


def test_nothing_secret_is_written(roots: Path) -> None:
    """The mock's folder holds certificates alone."""
    for file in roots.rglob("*"):
        assert file.is_dir() or b"PRIVATE" not in file.read_bytes()
