"""Who vouches for a device: certificates in a folder, and whether a signer's certificate leads to one of them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.scanner.sbi.errors import Refusal, RootsError, WrongAnswerError

FTM_FOLDER = "ftm"
SUFFIXES = frozenset({".pem", ".crt", ".cer"})
LARGEST_FILE_BYTES = 64 * 1024
MOST_FILES = 200
SMALLEST_RSA_BITS = 2048
LONGEST_CHAIN = 4
"""Device, provider, a sub-authority of the root, root."""
SKEW_BAND = datetime.timedelta(minutes=3)
"""How far the clock of a service may be off before its answers are refused; the public compliance toolkit's value."""
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_SOUND_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class Roots:
    """Certificates the technician trusts: roots, and the providers' between a root and its devices."""

    device: tuple[x509.Certificate, ...]
    """For device keys: all data, and the digital id of L0 devices."""
    ftm: tuple[x509.Certificate, ...]
    """For the secure chips of L1 devices: their digital id."""

    @classmethod
    def load(cls, folder: Path) -> "Roots":
        """Read ``*.pem|crt|cer`` of the folder (device) and of its sub-folder ``ftm``.

        Raises
        ------
        RootsError
            No folder, no certificate in it, or a file that holds none.
        """
        device = _certificates(folder)
        if not device:
            raise RootsError(str(folder), "holds no certificate (*.pem)")
        ftm = folder / FTM_FOLDER
        return cls(device, _certificates(ftm) if ftm.is_dir() else ())


def _certificates(folder: Path) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        for file in files[:MOST_FILES]:
            with file.open("rb") as opened:
                content = opened.read(LARGEST_FILE_BYTES + 1)
            if len(content) > LARGEST_FILE_BYTES:
                raise RootsError(str(folder), f"{file.name} is too large for certificates")
            found += x509.load_pem_x509_certificates(content)
    except OSError as error:
        raise RootsError(str(folder), error.strerror or "cannot be read") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise RootsError(str(folder), f"{file.name} holds no certificate in PEM form") from error
    return tuple(found)


def check_chain(leaf: x509.Certificate, trusted: Sequence[x509.Certificate], now: datetime.datetime) -> None:
    """Follow the issuers through the trusted certificates to a root among them.

    Certificates that came with the answer are not used: what the technician did not put there vouches for nothing.
    """
    _check_dates(leaf, now, "the signer's")
    _check_leaf(leaf)
    below = leaf
    for depth in range(LONGEST_CHAIN):
        issuer = _issuer(below, trusted)
        if issuer is None:
            raise WrongAnswerError(Refusal.CERTIFICATE_CHAIN, "no trusted certificate issued it")
        _check_dates(issuer, now, "the issuer's")
        _check_authority(issuer, depth)
        if issuer.subject == issuer.issuer:
            return
        below = issuer
    raise WrongAnswerError(Refusal.CERTIFICATE_CHAIN, "too long")


def _issuer(below: x509.Certificate, trusted: Sequence[x509.Certificate]) -> x509.Certificate | None:
    if not isinstance(below.signature_hash_algorithm, _SOUND_HASHES):
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, "signed with a broken hash")
    for candidate in trusted:
        try:
            below.verify_directly_issued_by(candidate)
        except (InvalidSignature, ValueError, TypeError):
            continue
        return candidate
    return None


def _check_dates(certificate: x509.Certificate, now: datetime.datetime, whose: str) -> None:
    if certificate.not_valid_before_utc > now + SKEW_BAND:
        raise WrongAnswerError(Refusal.CERTIFICATE_NOT_YET, whose)
    if certificate.not_valid_after_utc < now - SKEW_BAND:
        raise WrongAnswerError(Refusal.CERTIFICATE_EXPIRED, whose)


def _check_leaf(leaf: x509.Certificate) -> None:
    try:
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, "an unreadable key") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_RSA_BITS:
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, f"no RSA key of {SMALLEST_RSA_BITS} bits or more")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, "not for signing")


def _check_authority(issuer: x509.Certificate, below: int) -> None:
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise WrongAnswerError(Refusal.CERTIFICATE_CHAIN, "issued by what may not issue")
    if constraints.path_length is not None and constraints.path_length < below:
        raise WrongAnswerError(Refusal.CERTIFICATE_CHAIN, "longer than its root allows")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise WrongAnswerError(Refusal.CERTIFICATE_CHAIN, "issued by what may not issue")


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, "with unreadable extensions") from error
