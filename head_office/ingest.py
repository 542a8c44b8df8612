"""From the bytes of one batch to a signed receipt: check, store durably, and only then sign.

One transaction per batch::

    lock the device's row -> for each packet: signature, place in its chain -> insert it unchanged
    -> move the lane's head -> COMMIT, flushed -> sign the receipt

A receipt is proof of storage, so nothing is signed before COMMIT has returned. When the reply is lost, the device
sends the same packets again, and gets the same receipt numbers: "duplicate", or once more why one is held.

Whatever is authentic is taken into custody, if need be in quarantine with a reason. What is not authentic is not:
except that a queue in the field must not stand still behind one rotten row. When authentic packets follow, the
spoilt bytes are kept as the evidence of their place, quarantined, and the chain goes on with the hash that the
next authentic packet names. Should the true packet turn up later, it is a fork: kept, set aside, looked at.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from head_office import custody
from head_office.checks import LaneHead, Placement, place
from head_office.custody import Alarm, LaneKey, Place
from head_office.device_registry import DeviceRegistry, DeviceState, signing_keys
from head_office.errors import (
    BadRequestError,
    DeviceBlockedError,
    NotYourCheckpointError,
    RefusedError,
    TooLargeError,
    UnknownVersionError,
)
from head_office.ledger.base import Ledger, Transaction
from head_office.moment import Clock, from_ms, to_ms
from sync import checkpoint as wire
from sync import receipt as reply
from sync.checkpoint import Batch, Checkpoint
from sync.envelope import FIRST_SEQ, Header, envelope_digest, read_header, read_key_id, verify
from sync.errors import EnvelopeError, Refusal, WireError
from sync.keys import PublicKey, Signer
from sync.receipt import PacketVerdict, Receipt, Verdict

log = logging.getLogger(__name__)

UNKNOWN_KEY = "unknown_key"
MOST_HEADS = 64  # What a receipt has room for.
FREEZING = {Placement.FORK: Alarm.FORK, Placement.CHAIN_BROKEN: Alarm.CHAIN_BROKEN}


@dataclass(frozen=True, slots=True)
class Checked:
    """One envelope after its signature was looked at.

    ``refusal`` is None when it is authentic; then ``header`` is proved. Otherwise ``header`` is what the bytes say
    of themselves, or None when they cannot be read.
    """

    envelope: bytes
    digest: bytes
    header: Header | None
    signer_kid: bytes | None
    refusal: str | None


class Ingest:
    """Takes batches. Any thread may call it; the ledger does one batch at a time."""

    def __init__(
        self,
        ledger: Ledger,
        registry: DeviceRegistry,
        signer: Signer,
        clock: Clock,
        *,
        poll_s: int,
        on_stored: Callable[[], None],
    ) -> None:
        """``poll_s`` is when an idle device asks next; ``on_stored`` is told after a commit that there is work."""
        self._ledger, self._registry, self._signer, self._clock = ledger, registry, signer, clock
        self._poll_s, self._on_stored = poll_s, on_stored

    def receive(self, tls_certificate: bytes, body: bytes) -> bytes:
        """Take one batch and return the signed receipt.

        Raises a RefusedError when the request as a whole is not acceptable, a LedgerError when nothing could be
        stored. Neither leaves anything behind.
        """
        return self._receive(self._registry.device_of_certificate(tls_certificate), read(body))

    def receive_carried(self, body: bytes) -> bytes:
        """Take one batch that came as a file, and return the signed receipt to be carried back.

        The device is known by the signature on its checkpoint, which is as good as its TLS certificate: who carried
        the file does not matter. Raises like :meth:`receive`; NotYourCheckpointError for a device not known here.
        """
        batch = read(body)
        return self._receive(batch.claimed.device_id, batch)

    def _receive(self, device_id: str, batch: Batch) -> bytes:
        keys = signing_keys(self._ledger, device_id)
        checkpoint = authentic(batch, device_id, keys)
        checked = [check(envelope, device_id, keys) for envelope in batch.packets]
        now = self._clock()

        def take(tx: Transaction) -> tuple[tuple[PacketVerdict, ...], tuple[reply.LaneHead, ...]]:
            row = tx.lock_device(device_id)
            if row is None or row["state"] != DeviceState.ACTIVE:
                raise DeviceBlockedError(device_id)
            open_lanes(tx, checkpoint, to_ms(now))
            round_ = _Round(tx, checkpoint, to_ms(now))
            for packet in checked:
                round_.add(packet)
            verdicts, heads = round_.finish()
            note_checkpoint(tx, checkpoint, verdicts, to_ms(now))
            return verdicts, heads

        verdicts, heads = self._ledger.together(take)
        # Committed and flushed: from here on the packets are ours, whatever happens to this reply.
        self._on_stored()
        waiting = sum(state.depth for state in checkpoint.lanes)
        settled = sum(verdict.verdict.in_custody for verdict in verdicts)
        receipt = Receipt(
            device_id=device_id,
            nonce=checkpoint.nonce,
            server_time=now,
            lanes=heads,
            verdicts=verdicts,
            next_poll_s=1 if waiting > settled > 0 else self._poll_s,
        )
        return reply.sign(receipt, self._signer)


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
    """The batch's checkpoint, if the device holding the connection signed it. Raises NotYourCheckpointError."""
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
    digest = envelope_digest(envelope)
    try:
        header, kid = read_header(envelope), read_key_id(envelope)
    except EnvelopeError as error:
        return Checked(envelope, digest, None, None, error.refusal.value)
    if header.device_id != device_id:
        return Checked(envelope, digest, header, kid, Refusal.WRONG_DEVICE.value)
    key = keys.get(kid)
    if key is None:
        return Checked(envelope, digest, header, kid, UNKNOWN_KEY)
    try:
        verified = verify(envelope, key)
    except EnvelopeError as error:
        return Checked(envelope, digest, header, kid, error.refusal.value)
    return Checked(envelope, digest, verified.header, kid, None)


def note_checkpoint(tx: Transaction, checkpoint: Checkpoint, verdicts: Sequence[PacketVerdict], now_ms: int) -> None:
    """Keep what the device says of itself, and how much of that is left to come after this batch.

    The clock is recorded and never used to order anything.
    """
    # Its depth was counted before the batch left, and counts the batch.
    taken = {(verdict.lane, verdict.epoch, verdict.seq) for verdict in verdicts if verdict.verdict.in_custody}
    settled = Counter((lane, epoch) for lane, epoch, _ in taken)
    facts = {
        "boot_id": checkpoint.boot_id.hex(),
        "monotonic_ns": checkpoint.monotonic_ns,
        "wall_ms": to_ms(checkpoint.wall_utc),
        "free_disk_bytes": checkpoint.free_disk_bytes,
        "versions": checkpoint.versions,
        "lanes": [
            {"lane": s.lane.value, "epoch": s.epoch.hex(), "next_seq": s.next_seq, "depth": s.depth,
             "left": max(0, s.depth - settled[s.lane, s.epoch]), "oldest_age_s": s.oldest_age_s}
            for s in checkpoint.lanes
        ],
    }  # fmt: skip
    tx.execute(
        "UPDATE devices SET last_seen_at = ?, last_checkpoint = ?, clock_offset_ms = ? WHERE device_id = ?",
        (now_ms, json.dumps(facts), now_ms - facts["wall_ms"], checkpoint.device_id),  # type: ignore[operator]
    )


def open_lanes(tx: Transaction, checkpoint: Checkpoint, now_ms: int) -> None:
    """Begin the chains a checkpoint announces, and alarm when one is shorter than what the device sent us before."""
    for state in checkpoint.lanes:
        key = LaneKey(checkpoint.device_id, state.lane, state.epoch)
        head = custody.lane_head(tx, key)
        if head is None:
            custody.open_lane(tx, key, now_ms)
        elif state.next_seq < head.next_seq:
            # Not frozen on this alone: an old batch sent again by somebody on the way looks the same. Two
            # different packets under one number freeze the lane.
            custody.alarm(tx, Alarm.ROLLED_BACK, Place(key, state.next_seq), now_ms)


class _Round:
    """One batch inside its transaction: lane heads move in memory and are written once at the end."""

    def __init__(self, tx: Transaction, checkpoint: Checkpoint, now_ms: int) -> None:
        self._tx, self._now_ms = tx, now_ms
        self._device_id = checkpoint.device_id
        self._announced = [LaneKey(self._device_id, state.lane, state.epoch) for state in checkpoint.lanes]
        # Announced chains first: the receipt has room for those in any case.
        self._heads = {key: custody.lane_head(tx, key) for key in self._announced}
        self._spoilt: list[Checked] = []
        self._answered: set[bytes] = set()
        self._verdicts: list[PacketVerdict] = []

    def add(self, packet: Checked) -> None:
        """Judge and store one packet."""
        if packet.refusal is not None or packet.header is None:
            self._spoilt.append(packet)
            return
        key = LaneKey(self._device_id, packet.header.lane, packet.header.epoch)
        spot = Place(key, packet.header.seq)
        self._bridge(spot, packet.header.prev_hash)
        self._settle_spoilt()
        head = self._head(key)
        placement = place(
            seq=spot.seq,
            prev_hash=packet.header.prev_hash,
            head=head,
            already_here=lambda: custody.stored(self._tx, spot, packet.digest) is not None,
        )
        match placement:
            case Placement.NEXT:
                self._take(spot, packet, Verdict.ACCEPTED, None, in_chain=True)
                self._heads[key] = LaneHead(spot.seq + 1, packet.digest)
            case Placement.DUPLICATE:
                before = custody.stored(self._tx, spot, packet.digest)
                assert before is not None  # place() has just found it, inside the same transaction
                self._say_again(spot, packet.digest, before)
            case Placement.GAP | Placement.EPOCH_UNKNOWN:
                self._say(spot, packet.digest, Verdict.RETRY_LATER, placement.value, None)
            case Placement.FORK | Placement.CHAIN_BROKEN | Placement.LANE_FROZEN:
                self._take(spot, packet, Verdict.QUARANTINED, placement.value, in_chain=False)
                if placement in FREEZING and head is not None:
                    custody.alarm(self._tx, FREEZING[placement], spot, self._now_ms)
                    custody.freeze(self._tx, key, placement.value)
                    self._heads[key] = LaneHead(head.next_seq, head.head_hash, frozen=True)
                    log.error("%s: lane %s frozen at %d: %s", key.device_id, key.lane, spot.seq, placement.value)

    def finish(self) -> tuple[tuple[PacketVerdict, ...], tuple[reply.LaneHead, ...]]:
        """Write the heads; return the verdicts, and each chain that was announced or written to."""
        self._settle_spoilt()
        known = {key: head for key, head in self._heads.items() if head is not None}
        for key, head in known.items():
            custody.advance(self._tx, key, head)
        heads = tuple(
            reply.LaneHead(lane=key.lane, epoch=key.epoch, next_seq=head.next_seq, head_hash=head.head_hash)
            for key, head in list(known.items())[:MOST_HEADS]
        )
        return tuple(self._verdicts), heads

    def _head(self, key: LaneKey) -> LaneHead | None:
        if key not in self._heads:
            self._heads[key] = custody.lane_head(self._tx, key)
        return self._heads[key]

    def _bridge(self, successor: Place, prev_hash: bytes) -> None:
        """Put the spoilt packets that stand directly before an authentic one into their places.

        Their numbers follow from its own. Places already filled with these bytes answer as duplicates; places the
        chain still waits for are filled with them, as evidence, and the chain goes on with ``prev_hash``.
        """
        head = self._head(successor.key)
        if head is None or head.frozen:
            return
        for behind in range(min(len(self._spoilt), successor.seq - FIRST_SEQ), 0, -1):
            packet, spot = self._spoilt[-behind], Place(successor.key, successor.seq - behind)
            if not _could_be_at(packet, spot):
                continue
            before = custody.stored(self._tx, spot, packet.digest)
            if before is not None:
                self._say_again(spot, packet.digest, before)
            elif spot.seq == head.next_seq and self._reaches(successor, behind):
                self._take(spot, packet, Verdict.QUARANTINED, packet.refusal, in_chain=True)
                custody.alarm(self._tx, Alarm.UNREADABLE, spot, self._now_ms)
                head = LaneHead(spot.seq + 1, prev_hash if behind == 1 else packet.digest)
                self._heads[successor.key] = head
            else:
                continue
            self._answered.add(packet.digest)

    def _reaches(self, successor: Place, behind: int) -> bool:
        """Whether the rest of the run can fill every place up to the authentic packet."""
        return all(
            _could_be_at(self._spoilt[-at], Place(successor.key, successor.seq - at)) for at in range(behind, 0, -1)
        )

    def _settle_spoilt(self) -> None:
        """Answer what is not authentic and has no authentic successor: nothing is stored."""
        for packet in self._spoilt:
            header = packet.header
            if packet.digest in self._answered:
                continue
            if header is None:
                # Without a readable place there is nothing a verdict could name.
                log.warning("%s sent %d unreadable bytes: %s", self._device_id, len(packet.envelope), packet.refusal)
                continue
            spot = Place(LaneKey(self._device_id, header.lane, header.epoch), header.seq)
            before = custody.stored(self._tx, spot, packet.digest) if _could_be_at(packet, spot) else None
            if before is not None:
                self._say_again(spot, packet.digest, before)
            else:
                # Kept by the device: an unknown key may be our fault, and spoilt bytes get their place once an
                # authentic packet stands behind them.
                theirs = packet.refusal == Refusal.WRONG_DEVICE
                verdict = Verdict.NOT_YOURS if theirs else Verdict.RETRY_LATER
                self._say(spot, packet.digest, verdict, packet.refusal, None)
        self._spoilt.clear()

    def _take(self, spot: Place, packet: Checked, verdict: Verdict, reason: str | None, *, in_chain: bool) -> None:
        kept = custody.take(
            self._tx,
            spot,
            packet.envelope,
            packet.digest,
            in_chain=in_chain,
            verdict=verdict,
            reason=reason,
            now_ms=self._now_ms,
            header=packet.header,
            signer_kid=packet.signer_kid,
        )
        self._say(spot, packet.digest, verdict, reason, kept)

    def _say_again(self, spot: Place, digest: bytes, before: custody.Stored) -> None:
        """Repeat what was said of these bytes. One that is held is told to be held again: the first reply may be lost,
        and "duplicate" alone would sound as good as accepted.
        """
        verdict = Verdict.DUPLICATE if before.held_because is None else Verdict.QUARANTINED
        self._say(spot, digest, verdict, before.held_because, before)

    def _say(
        self, spot: Place, digest: bytes, verdict: Verdict, reason: str | None, kept: custody.Stored | None
    ) -> None:
        self._verdicts.append(
            PacketVerdict(
                lane=spot.key.lane,
                epoch=spot.key.epoch,
                seq=spot.seq,
                digest=digest,
                verdict=verdict,
                reason=reason,
                receipt_no=custody.receipt_name(kept.receipt_no) if kept else None,
                stored_at=from_ms(kept.stored_at_ms) if kept else None,
            )
        )


def _could_be_at(packet: Checked, spot: Place) -> bool:
    """Unreadable bytes could be anything of their sender; readable ones must say this place, and this sender."""
    header = packet.header
    if header is None:
        return True
    mine = (header.device_id, header.lane, header.epoch, header.seq)
    return mine == (spot.key.device_id, spot.key.lane, spot.key.epoch, spot.seq)
