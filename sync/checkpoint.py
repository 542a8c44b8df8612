"""What a device sends in one sync round: a signed statement of where it stands, and packets; pure.

The checkpoint lets head office tell a silent device from a truncated queue, and asks for a receipt that
repeats its nonce. The packets beside it prove themselves and need no signature over the batch.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar

from sync import cbor, cose
from sync.envelope import (
    BOOT_ID_BYTES,
    DEVICE_ID,
    DIGEST_BYTES,
    EPOCH_BYTES,
    FIRST_SEQ,
    MAX_ENVELOPE_BYTES,
    MAX_SEQ,
    Lane,
)
from sync.errors import CborError, CheckpointError, CoseError, Refusal, WireError
from sync.keys import PublicKey, Signer
from sync.records import Blob, Choice, Instant, Many, Nested, Record, Text, Whole, Words

VERSION = 1
TYP = "application/vnd.mpos.checkpoint+cose"
NONCE_BYTES = 16
MAX_PACKETS = 512
MAX_CHAINS = 16
"""Two that grow, and fourteen that ended and still wait: more are announced as these are delivered."""
MAX_BATCH_BYTES = 2 * 1024 * 1024
"""A batch aims at 20 s of link time, at most 1 MB, and always fits one packet of the largest size."""
MAX_CHECKPOINT_BYTES = 16 * 1024
COMMAND_ID_BYTES = 16
COMMAND_NAME = Text(32, pattern=r"[a-z][a-z0-9_]*")
MAX_REPORTED = 32
"""Commands done, and commands refused, that one checkpoint has room for; the rest are told with the next."""


class StorageMark(enum.StrEnum):
    """How full the device's disk is, by the device's own marks; nothing queued is ever dropped."""

    OK = "ok"
    WARN = "warn"
    """A technician should look."""
    STOP_DOCUMENTS = "stop_documents"
    """No new scans; claims go on."""
    STOP_CLAIMS = "stop_claims"
    """No new claims either: what is left of the disk is needed to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneState(Record):
    """One chain as the device has it."""

    refuse: ClassVar[type[WireError]] = CheckpointError

    lane: Annotated[Lane, Choice(Lane)]
    epoch: Annotated[bytes, Blob(EPOCH_BYTES)]
    next_seq: Annotated[int, Whole(FIRST_SEQ, MAX_SEQ)]
    """The sequence number the next packet made on the device will get."""
    head_hash: Annotated[bytes, Blob(DIGEST_BYTES)]
    """Digest of the last packet made; NO_HASH when there is none."""
    depth: Annotated[int, Whole(0, MAX_SEQ)]
    """Packets of the lane waiting for their receipt, all counted with the chain that grows; 0 for one that ended."""
    oldest_age_s: Annotated[int, Whole(0, MAX_SEQ)]
    """Age of the oldest of them in seconds; 0 when none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused(Record):
    """A command of head office the device does not carry out, and why: head office stops repeating it."""

    refuse: ClassVar[type[WireError]] = CheckpointError

    id: Annotated[bytes, Blob(COMMAND_ID_BYTES)]
    name: Annotated[str, COMMAND_NAME]
    reason: Annotated[str, Text(64, pattern=r"[a-z][a-z0-9_]*")]
    """A stable word: ``unknown_command``, ``unreadable``, ``unknown_claim``, ..."""
    detail: Annotated[str, Text(120, least=0)] = ""
    """For a person at head office: a field, a file, a limit. Never a value from a claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Record):
    """Where a device stands at the start of a sync round."""

    refuse: ClassVar[type[WireError]] = CheckpointError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    nonce: Annotated[bytes, Blob(NONCE_BYTES)]
    """Fresh for every request; the receipt repeats it."""
    boot_id: Annotated[bytes, Blob(BOOT_ID_BYTES)]
    wall_utc: Annotated[datetime, Instant()]
    monotonic_ns: Annotated[int, Whole(0, MAX_SEQ)]
    lanes: Annotated[tuple[LaneState, ...], Many(Nested(LaneState), MAX_CHAINS)]
    """Every chain packets may come from: those that ended and still have some, then the one of each lane that grows."""
    free_disk_bytes: Annotated[int, Whole(0, MAX_SEQ)]
    storage: Annotated[StorageMark, Choice(StorageMark)] = StorageMark.OK
    versions: Annotated[
        dict[str, str], Words(16, Text(32, pattern=r"[a-z][a-z0-9_]*"), Text(64, pattern=r"[A-Za-z0-9 ._+:/-]+"))
    ]
    """Programs, engines and tables by name: ``agent``, ``sqlite``, ``tables``, ..."""
    commands_done: Annotated[tuple[bytes, ...], Many(Blob(COMMAND_ID_BYTES), MAX_REPORTED)] = ()
    """Ids of head office's commands that were carried out; named until head office has stopped repeating them."""
    commands_refused: Annotated[tuple[CommandRefused, ...], Many(Nested(CommandRefused), MAX_REPORTED)] = ()

    def check_together(self) -> None:
        """Each chain once, and each command once."""
        if len({(state.lane, state.epoch) for state in self.lanes}) != len(self.lanes):
            raise CheckpointError(Refusal.CONTRADICTION, "lanes", "a chain twice")
        named = [*self.commands_done, *(refused.id for refused in self.commands_refused)]
        if len(set(named)) != len(named):
            raise CheckpointError(Refusal.CONTRADICTION, "commands_done", "a command twice")


@dataclass(frozen=True, slots=True)
class Batch:
    """A parsed request. The checkpoint is what the sender *claims* until :meth:`verified` gives it back."""

    claimed: Checkpoint
    packets: tuple[bytes, ...] = field(repr=False)
    """Envelopes as they came; each is checked on its own."""
    signed: cose.Sign1 = field(repr=False)

    def verified(self, public_key: PublicKey) -> Checkpoint:
        """The checkpoint, if the key's holder signed it. Raises CheckpointError."""
        try:
            self.signed.verify(public_key)
        except CoseError as error:
            raise CheckpointError(error.refusal, error.field, error.detail) from error
        return self.claimed


def sign_batch(checkpoint: Checkpoint, packets: Sequence[bytes], signer: Signer) -> bytes:
    """The request body: CBOR [version, COSE_Sign1 of the checkpoint, [envelope, ...]]."""
    if len(packets) > MAX_PACKETS:
        raise CheckpointError(Refusal.TOO_LONG, "packets", f"at most {MAX_PACKETS}")
    protected = cose.protect(TYP, signer.algorithm, signer.kid, {})
    signed = cose.sign(protected, cbor.encode(checkpoint.to_map()), signer)
    body = cbor.encode([VERSION, signed, list(packets)])
    if len(body) > MAX_BATCH_BYTES:
        raise CheckpointError(Refusal.TOO_LONG, detail=f"at most {MAX_BATCH_BYTES} bytes")
    return body


def read_batch(data: bytes) -> Batch:
    """Parse a request body. Checks no signature. Raises CheckpointError with the named reason."""
    try:
        item = cbor.decode(data, max_bytes=MAX_BATCH_BYTES, max_items=MAX_PACKETS + 8, max_depth=3)
        if not isinstance(item, list) or not item:
            raise CheckpointError(Refusal.WRONG_TYPE, detail="not an array")
        if item[0] != VERSION or isinstance(item[0], bool):
            raise CheckpointError(Refusal.UNKNOWN_VERSION)
        match item:
            case [_, bytes(signed), list(packets)]:
                pass
            case _:
                raise CheckpointError(Refusal.WRONG_TYPE, detail="not [version, checkpoint, packets]")
        for at, packet in enumerate(packets):
            if not isinstance(packet, bytes):
                raise CheckpointError(Refusal.WRONG_TYPE, f"packets[{at}]")
            if len(packet) > MAX_ENVELOPE_BYTES:
                raise CheckpointError(Refusal.FIELD_TOO_LONG, f"packets[{at}]")
        message = cose.parse(signed, TYP, frozenset(), max_bytes=MAX_CHECKPOINT_BYTES)
        claimed = _read(message.payload)
    except (CborError, CoseError) as error:
        raise CheckpointError(error.refusal, error.field, error.detail) from error
    return Batch(claimed, tuple(packets), message)


def _read(payload: bytes) -> Checkpoint:
    value = cbor.decode(payload, max_bytes=MAX_CHECKPOINT_BYTES, max_items=512, max_depth=4)
    if isinstance(value, dict) and "version" in value and value["version"] != VERSION:
        # Before unknown keys: a later version should be called that, not a malformed first one.
        raise CheckpointError(Refusal.UNKNOWN_VERSION, "version")
    return Checkpoint.from_map(value)
