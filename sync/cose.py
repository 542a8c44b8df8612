"""COSE_Sign1 (RFC 9052 section 4.2) as this project uses it: one signer, everything protected; pure.

Every message we sign names its kind in the ``typ`` header (RFC 9596), so that a signature made over a
checkpoint can not be passed off as one over an envelope although one key makes both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync import cbor
from sync.errors import CborError, CoseError, Refusal
from sync.keys import KEY_ID_BYTES, SIGNATURE_BYTES, Algorithm, PublicKey, Signer, algorithm_of, is_signature, key_id

ALG, CRIT, CONTENT_TYPE, KID, IV, TYP = 1, 2, 3, 4, 5, 16
"""Common header labels (RFC 9052 section 3.1, RFC 9596)."""
TAG_SIGN1, TAG_ENCRYPT = 18, 96
MAX_PROTECTED_BYTES = 1024
"""A device header takes about 150 bytes."""

Label = int | str


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1 whose signature nobody has checked yet."""

    protected: bytes
    """The protected header as it stands in the message: what the signature covers."""
    headers: Mapping[Label, object]
    """The same, read. Labels of this module plus those the caller declared."""
    algorithm: Algorithm
    kid: bytes
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, public_key: PublicKey) -> None:
        """Raises CoseError: WRONG_KEY when another key is named, BAD_SIGNATURE when the signature does not fit."""
        if self.kid != key_id(public_key):
            raise CoseError(Refusal.WRONG_KEY, "kid")
        if self.algorithm is not algorithm_of(public_key):
            raise CoseError(Refusal.WRONG_KEY, "alg")
        if not is_signature(public_key, self.algorithm, self.signature, _signed(self.protected, self.payload)):
            raise CoseError(Refusal.BAD_SIGNATURE)


def protect(typ: str, algorithm: Algorithm, kid: bytes, private: Mapping[int, object]) -> bytes:
    """The protected header of a message of ours, encoded; ``private`` headers are all marked critical."""
    headers: dict[int, object] = {ALG: int(algorithm), KID: kid, TYP: typ, **private}
    if private:
        headers[CRIT] = sorted(private, reverse=True)
    return cbor.encode(headers)


def sign(protected: bytes, payload: bytes, signer: Signer) -> bytes:
    """The tagged COSE_Sign1. ``protected`` must name the signer's algorithm and key id."""
    signature = signer.sign(_signed(protected, payload))
    return cbor.encode(cbor.Tag(TAG_SIGN1, [protected, {}, payload, signature]))


def parse(data: bytes, typ: str, private: frozenset[int], *, max_bytes: int) -> Sign1:
    """Read a COSE_Sign1 of kind ``typ`` with exactly the ``private`` headers. Checks no signature.

    Raises CoseError (CborError for the outermost structure) with the reason.
    """
    message = cbor.decode(data, max_bytes=max_bytes, max_items=16, max_depth=4)
    if not isinstance(message, cbor.Tag) or message.number != TAG_SIGN1:
        raise CoseError(Refusal.UNKNOWN_TYPE, detail="not a COSE_Sign1")
    match message.content:
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise CoseError(Refusal.WRONG_TYPE, detail="not [protected, unprotected, payload, signature]")
    if unprotected:
        raise CoseError(Refusal.UNKNOWN_KEY, "unprotected", "nothing goes unprotected here")
    if len(signature) != SIGNATURE_BYTES:
        raise CoseError(Refusal.BAD_VALUE, "signature", f"{SIGNATURE_BYTES} bytes")
    headers = read_protected(protected)
    if headers.get(TYP) != typ:
        raise CoseError(Refusal.UNKNOWN_TYPE, "typ", f"not {typ}")
    refuse_unknown_critical(headers, private)
    for label in headers:
        if label not in private and label not in (ALG, CRIT, KID, TYP):
            raise CoseError(Refusal.UNKNOWN_KEY, "protected")
    for label in (ALG, KID, *private):
        if label not in headers:
            raise CoseError(Refusal.MISSING_KEY, f"protected[{label}]")
    kid = headers[KID]
    if not isinstance(kid, bytes) or len(kid) != KEY_ID_BYTES:
        raise CoseError(Refusal.BAD_VALUE, "kid", f"{KEY_ID_BYTES} bytes")
    return Sign1(protected, headers, _algorithm(headers[ALG]), kid, payload, signature)


def read_protected(protected: bytes) -> dict[Label, object]:
    """The header map inside a protected bucket."""
    try:
        headers = cbor.decode(protected, max_bytes=MAX_PROTECTED_BYTES, max_items=64, max_depth=4)
    except CborError as error:
        raise CoseError(error.refusal, "protected", error.detail) from error
    if not isinstance(headers, dict):
        raise CoseError(Refusal.WRONG_TYPE, "protected", "not a map")
    return headers


def refuse_unknown_critical(headers: Mapping[Label, object], understood: frozenset[int]) -> None:
    """RFC 9052 section 3.1: a critical header that is not understood makes the message unreadable.

    Ours are all critical, so a missing or shortened list is refused as well.
    """
    critical = headers.get(CRIT, [])
    if not isinstance(critical, list) or (CRIT in headers and not critical):
        raise CoseError(Refusal.WRONG_TYPE, "crit", "not a list of labels")
    if any(isinstance(label, bool) or not isinstance(label, int | str) for label in critical):
        raise CoseError(Refusal.WRONG_TYPE, "crit", "not a list of labels")
    if any(label not in understood for label in critical):
        raise CoseError(Refusal.UNKNOWN_CRITICAL, "crit")
    if critical != sorted(understood, reverse=True):
        raise CoseError(Refusal.MISSING_KEY, "crit", "every private header is critical")


def _algorithm(value: object) -> Algorithm:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CoseError(Refusal.WRONG_TYPE, "alg")
    try:
        return Algorithm(value)
    except ValueError as error:
        raise CoseError(Refusal.UNKNOWN_ALGORITHM, "alg") from error


def _signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052 section 4.4, with no external data."""
    return cbor.encode(["Signature1", protected, b"", payload])
