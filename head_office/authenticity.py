"""Whose a batch is and which of its packets are authentic; no storage, no key of ours.

An envelope is parsed once: header, key id and signature come from the same reading of its bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from head_office.errors import (
    BadRequestError,
    NotYourCheckpointError,
    RefusedError,
    TooLargeError,
    UnknownVersionError,
)
from sync import checkpoint as wire
from sync.checkpoint import Batch, Checkpoint
from sync.envelope import Header, Lane, envelope_digest, read_envelope, read_other_version
from sync.errors import EnvelopeError, Refusal, WireError
from sync.keys import PublicKey

UNKNOWN_KEY = "unknown_key"


@dataclass(frozen=True, slots=True)
class Checked:
    """One envelope after its signature was looked at.

    ``refusal`` is None when it is authentic; then ``header`` is proved. Otherwise ``header`` is what the bytes say
    of themselves, or None when they cannot be read. Of a later version than ours ``stands_at`` is what the device has
    signed of its place, all the same.
    """

    envelope: bytes
    digest: bytes
    header: Header | None
    signer_kid: bytes | None
    refusal: str | None
    stands_at: tuple[Lane, bytes, int] | None = None


def read(body: bytes) -> Batch:
    """Parse a batch. Raises UnknownVersionError, TooLargeError or BadRequestError."""
    try:
        return wire.read_batch(body)
    except WireError as error:
        raise refused(error) from error


def refused(error: WireError) -> RefusedError:
    """A refusal of the wire format as the error that is answered."""
    if error.refusal in (Refusal.UNKNOWN_VERSION, Refusal.UNKNOWN_SUITE, Refusal.UNKNOWN_ALGORITHM):
        return UnknownVersionError(str(error))
    if error.refusal in (Refusal.TOO_LONG, Refusal.FIELD_TOO_LONG):
        return TooLargeError(str(error))
    return BadRequestError(str(error))


def authentic(batch: Batch, device_id: str, keys: Mapping[bytes, PublicKey]) -> Checkpoint:
    """The batch's checkpoint, if ``device_id`` signed it. Raises NotYourCheckpointError."""
    if batch.claimed.device_id != device_id:
        raise NotYourCheckpointError(f"{device_id} sent a checkpoint of another device")
    key = keys.get(batch.signed.kid)
    if key is None:
        raise NotYourCheckpointError(f"{device_id} signed with a key that is not its own")
    try:
        return batch.verified(key)
    except WireError as error:
        raise NotYourCheckpointError(f"{device_id}: {error}") from error


def check(envelope: bytes, device_id: str, keys: Mapping[bytes, PublicKey]) -> Checked:
    """Look at one envelope: whose it says it is, and whether that device signed it."""
    try:
        claimed = read_envelope(envelope)
    except EnvelopeError as error:
        ahead = error.refusal is Refusal.UNKNOWN_VERSION
        place = _signed_place(envelope, device_id, keys) if ahead else None
        return Checked(envelope, envelope_digest(envelope), None, None, error.refusal.value, place)
    header, kid, digest = claimed.header, claimed.kid, claimed.digest
    if header.device_id != device_id:
        return Checked(envelope, digest, header, kid, Refusal.WRONG_DEVICE.value)
    key = keys.get(kid)
    if key is None:
        return Checked(envelope, digest, header, kid, UNKNOWN_KEY)
    try:
        claimed.verified(key)
    except EnvelopeError as error:
        return Checked(envelope, digest, header, kid, error.refusal.value)
    return Checked(envelope, digest, header, kid, None)


def _signed_place(envelope: bytes, device_id: str, keys: Mapping[bytes, PublicKey]) -> tuple[Lane, bytes, int] | None:
    """Lane, epoch and number of an envelope of a later version, where this device has signed them."""
    try:
        other = read_other_version(envelope)
    except EnvelopeError:
        return None  # whatever it is: there is no place to name
    key = keys.get(other.kid)
    if key is None or other.device_id != device_id or not other.is_signed_by(key):
        return None
    return other.lane, other.epoch, other.seq
