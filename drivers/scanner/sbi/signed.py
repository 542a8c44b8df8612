"""The door to JOSE: compact signed messages of a device, believed only as far as the configured roots reach."""

import base64
import binascii
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from drivers.scanner.sbi import answers
from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.transport import LARGEST_BODY_BYTES
from drivers.scanner.sbi.trust import check_chain

ALGORITHM = "RS256"
LARGEST_HEADER = 64 * 1024
"""Characters: a few certificates."""
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Signed:
    """A payload somebody trusted has signed."""

    payload: answers.Node
    certificate: x509.Certificate


def open_signed(token: str, trusted: Sequence[x509.Certificate], now: datetime.datetime, what: str) -> Signed:
    """Check form, algorithm, certificate, signature, dates and chain, in this order; then read the payload."""
    if not _COMPACT.fullmatch(token):
        raise WrongAnswerError(Refusal.NOT_SIGNED, what)
    leaf = _signer(token.split(".", 1)[0], what)
    registry = jws.JWSRegistry(algorithms=[ALGORITHM], strict_check_header=False)
    # The library's own limits are for login tokens; ours carry a picture. The answer as a whole is bounded already.
    registry.max_header_length = LARGEST_HEADER
    registry.max_payload_length = LARGEST_BODY_BYTES
    try:
        key = RSAKey.import_key(leaf.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        checked = jws.deserialize_compact(token, key, registry=registry)
    except JoseError as error:
        raise WrongAnswerError(Refusal.SIGNATURE, what) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WrongAnswerError(Refusal.CERTIFICATE_UNFIT, f"{what}: no RSA key") from error
    check_chain(leaf, trusted, now)
    if checked.payload is None:
        raise WrongAnswerError(Refusal.SHAPE, f"{what} is empty")
    return Signed(answers.node(answers.parse(checked.payload), what), leaf)


def _signer(header_part: str, what: str) -> x509.Certificate:
    header = answers.node(answers.parse(answers.base64url(header_part, Refusal.NOT_SIGNED, what)), what)
    if header.get("alg") != ALGORITHM:
        raise WrongAnswerError(Refusal.ALGORITHM, f"{what}: {str(header.get('alg'))[:20]}")
    if "crit" in header:
        raise WrongAnswerError(Refusal.ALGORITHM, f"{what}: asks for an extension")
    chain = header.get("x5c")
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise WrongAnswerError(Refusal.NO_CERTIFICATE, what)
    try:
        return x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))
    except (binascii.Error, ValueError, x509.InvalidVersion) as error:
        raise WrongAnswerError(Refusal.NO_CERTIFICATE, f"{what}: unreadable") from error
