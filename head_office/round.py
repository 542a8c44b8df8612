"""One batch inside its transaction: each packet judged by its place, all of it written at the end.

Whatever is authentic is taken into custody, if need be in quarantine with a reason. What is not authentic is not:
except that a queue in the field must not stand still behind one rotten row. When authentic packets follow, the
spoilt bytes are kept as the evidence of their place, quarantined, and the chain goes on with the hash that the
next authentic packet names. That hash says which packet belongs there: should it turn up later, because its bytes were
spoilt on the way only, it takes its place, and the spoilt ones stay as evidence beside it.

Spoilt bytes from below the head are answered by what stands in their place: the digest of the packet that is in
custody there. The device compares it with the digest it wrote down when it sealed, and lets go on nothing less.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from head_office import clones, custody, events, missing, quarantine
from head_office.authenticity import UNKNOWN_KEY, Checked
from head_office.checks import LaneHead, Placement, StandIn, place
from head_office.custody import Alarm, LaneKey, Place, Stored
from head_office.heard import CLOCK_ASTRAY_MS
from head_office.ledger.base import Transaction
from head_office.missing import Behind
from head_office.moment import from_ms, to_ms
from head_office.signing_keys import OLD_KEY, SigningKeys
from sync import receipt as reply
from sync.checkpoint import Checkpoint
from sync.envelope import FIRST_SEQ, NO_HASH, Lane
from sync.errors import Refusal
from sync.receipt import PacketVerdict, Verdict

log = logging.getLogger(__name__)

MOST_HEADS = 64  # What a receipt has room for.
MOST_AT_A_PLACE = 4  # Stored under one number as evidence: more is somebody on the way who fills our tables.
JUDGED_BY_KEY = frozenset(Placement) - {Placement.DUPLICATE, Placement.LATE, Placement.EPOCH_UNKNOWN}
"""What is here, or was named by its successor, is proved; and nothing is taken of a chain nobody announced."""
FREEZING = {Placement.FORK: Alarm.FORK, Placement.CHAIN_BROKEN: Alarm.CHAIN_BROKEN}
UNPROVED = frozenset(FREEZING) | {Placement.EMPTY}
"""Where nothing but the signature speaks for a packet, a replaced key is not enough: somebody may have a copy of it."""


class Round:
    """Lane heads move in memory; packets, heads and alarms are written by :meth:`finish`."""

    def __init__(
        self,
        tx: Transaction,
        checkpoint: Checkpoint,
        packets: Sequence[Checked],
        heads: Mapping[LaneKey, LaneHead],
        now_ms: int,
        *,
        carried: bool,
        keys: SigningKeys,
        outdated: bool,
    ) -> None:
        """``heads``: the device's chains as they stand, read behind its lock.

        ``carried``: the batch came as a file, perhaps long after later ones, so that an old state alarms nobody.

        ``outdated``: a key signed the checkpoint that the device has replaced since, so that it begins no chain.
        """
        self._keys, self._outdated = keys, outdated
        self._tx, self._now_ms = tx, now_ms
        self._device_id = checkpoint.device_id
        self._heads = dict(heads)
        self._before = dict(self._heads)
        self._states = checkpoint.lanes
        self._announced = [LaneKey(self._device_id, state.lane, state.epoch) for state in checkpoint.lanes]
        self._numbers = iter(tx.receipt_numbers(len(packets)) if packets else ())
        self._rows: list[custody.PacketRow] = []
        self._taken: dict[tuple[Place, bytes], Stored] = {}
        self._spoilt: list[Checked] = []
        self._answered: set[bytes] = set()
        self._gaps: dict[tuple[Lane, bytes], int] = {}
        self._left: list[tuple[Lane, bytes] | None] = []
        self._refused = False
        self._verdicts: list[PacketVerdict] = []
        self._open_lanes(checkpoint, carried=carried)
        for packet in packets:
            self._add(packet)

    def _open_lanes(self, checkpoint: Checkpoint, *, carried: bool) -> None:
        """Begin the chains a checkpoint announces; alarm when one is shorter than what the device sent us before."""
        for key, state in zip(self._announced, checkpoint.lanes, strict=True):
            head = self._heads.get(key)
            if head is None and self._outdated:
                continue
            if head is None:
                epochs = [known.next_seq for other, known in self._heads.items() if other.lane is key.lane]
                empty = epochs.count(FIRST_SEQ)
                if custody.open_lane(self._tx, key, self._now_ms, earlier=len(epochs), empty=empty):
                    self._heads[key] = self._before[key] = LaneHead(FIRST_SEQ, NO_HASH)
            elif state.next_seq < head.next_seq and not carried:
                # Not frozen on this alone: an old batch sent again by somebody on the way looks the same. Two
                # different packets under one number freeze the lane.
                self._alarm(Alarm.ROLLED_BACK, Place(key, state.next_seq))
        if not carried and abs(self._now_ms - to_ms(checkpoint.wall_utc)) > CLOCK_ASTRAY_MS:
            for key in self._announced:
                self._alarm(Alarm.CLOCK_ASTRAY, Place(key, FIRST_SEQ))

    def finish(self) -> tuple[tuple[PacketVerdict, ...], tuple[reply.LaneHead, ...]]:
        """Write packets and heads; return the verdicts, and each chain that was announced or written to."""
        self._settle_spoilt()
        custody.insert(self._tx, self._rows)
        if self._refused:
            quarantine.trim_refusals(self._tx, self._device_id)
        moved = [key for key, head in self._heads.items() if head != self._before.get(key)]
        custody.advance(self._tx, {key: self._heads[key] for key in moved})
        # Announced chains first: the receipt has room for those in any case.
        told = dict.fromkeys(key for key in (*self._announced, *moved) if key in self._heads)
        heads = tuple(custody.told(key, self._heads[key]) for key in list(told)[:MOST_HEADS])
        return tuple(self._verdicts), heads

    def behind(self) -> dict[tuple[Lane, bytes], Behind]:
        """Announced chains that have come further on the device than here, whatever this batch brought."""
        waits_for = {
            (key.lane, key.epoch): head.next_seq
            for key in self._announced
            if (head := self._heads.get(key)) is not None and not head.frozen
        }
        return missing.chains_behind(self._states, waits_for, self._gaps, self._left)

    def _add(self, packet: Checked) -> None:
        """Judge one packet."""
        if packet.refusal is not None or packet.header is None:
            self._spoilt.append(packet)
            return
        key = LaneKey(self._device_id, packet.header.lane, packet.header.epoch)
        spot = Place(key, packet.header.seq)
        if self._spoilt:
            # A replaced key names no places behind those it had when it was replaced: a thief could fill them.
            if self._keys.may_have_signed(packet.signer_kid, key, spot.seq):
                self._bridge(spot, packet.header.prev_hash)
            self._settle_spoilt()
        head = self._heads.get(key)
        placement = place(
            seq=spot.seq,
            prev_hash=packet.header.prev_hash,
            digest=packet.digest,
            head=head,
            already_here=lambda: self._stored(spot, packet.digest) is not None,
            stand_in=lambda: self._stand_in(spot),
        )
        over_gone = placement is Placement.GAP and self._is_behind_gone(spot)
        if over_gone:
            placement = Placement.NEXT
        if placement in JUDGED_BY_KEY and not self._may_have_signed(packet, spot, placement):
            self._take_from_old_key(spot, packet)
            return
        match placement:
            case Placement.NEXT:
                first_gone = self._step_over_gone(spot, packet.header.prev_hash) if over_gone else spot.seq
                self._keys.has_signed(self._tx, packet.signer_kid, key, spot.seq)
                self._take(spot, packet, Verdict.ACCEPTED, None, in_chain=True)
                self._heads[key] = LaneHead(spot.seq + 1, packet.digest)
                self._note_gone(spot, first_gone)
            case Placement.DUPLICATE:
                before = self._stored(spot, packet.digest)
                assert before is not None  # place() has just found it, inside the same transaction
                self._say_again(spot, packet.digest, before)
            case Placement.LATE | Placement.EMPTY:
                below = Place(key, spot.seq - 1)
                if self._stands_at(below) not in (None, packet.header.prev_hash):
                    self._alarm(Alarm.FORK, below)  # what came into an empty place before is of another history
                self._move_aside(spot)
                custody.replace_stand_in(self._tx, spot, packet.header.prev_hash)
                self._take(spot, packet, Verdict.ACCEPTED, None, in_chain=True)
            case Placement.GAP | Placement.EPOCH_UNKNOWN | Placement.SUCCESSOR_FIRST:
                self._note_refusal(packet, placement.value)
                self._say(spot, packet.digest, Verdict.RETRY_LATER, placement.value, None)
                chain = (key.lane, key.epoch)
                self._left.append(chain)
                if placement is Placement.GAP:
                    self._gaps[chain] = min(spot.seq, self._gaps.get(chain, spot.seq))
            case Placement.FORK | Placement.CHAIN_BROKEN | Placement.LANE_FROZEN:
                self._take(spot, packet, Verdict.QUARANTINED, placement.value, in_chain=False)
                if placement in FREEZING and head is not None:
                    self._alarm(FREEZING[placement], spot)
                    self._heads[key] = LaneHead(head.next_seq, head.head_hash, frozen=placement.value)
                    log.error("%s: lane %s frozen at %d: %s", key.device_id, key.lane, spot.seq, placement.value)

    def _stand_in(self, spot: Place) -> StandIn | None:
        """What stands in a place instead of its packet; of an empty one also what stands before it."""
        found = custody.stand_in(self._tx, spot)
        if found is None or found.expected is not None or self._is_held(spot):
            return found
        return StandIn(None, empty=True, before=self._stands_at(Place(spot.key, spot.seq - 1)))

    def _is_held(self, spot: Place) -> bool:
        """Whether anything at all stands in the chain there, spoilt bytes included."""
        return any(row.place == spot and row.in_chain for row in self._rows) or (
            custody.in_place(self._tx, spot) is not None
        )

    def _stands_at(self, spot: Place) -> bytes | None:
        """Digest of the authentic packet in a place, of this batch or of before."""
        for row in self._rows:
            if row.place == spot and row.in_chain and row.verdict is Verdict.ACCEPTED:
                return row.packet.digest
        standing = custody.in_place(self._tx, spot)
        return standing[0] if standing is not None and standing[1].held_because is None else None

    def _is_behind_gone(self, spot: Place) -> bool:
        """Whether everything between its chain's end and this place was declared gone by two people."""
        head = self._heads[spot.key]
        return missing.are_gone(self._tx, spot.key, head.next_seq, spot.seq - 1)

    def _step_over_gone(self, successor: Place, prev_hash: bytes | None) -> int:
        """Leave the places empty, and give the first of them.

        What belongs in the last is said by the packet behind it, when that is authentic.
        """
        first, last = self._heads[successor.key].next_seq, successor.seq - 1
        custody.note_gone(self._tx, successor.key, first, last, prev_hash)
        log.warning("%s: lane %s goes on without %d to %d", self._device_id, successor.key.lane, first, last)
        return first

    def _note_gone(self, successor: Place, first: int) -> None:
        """The packet that was taken last is the one the chain goes on with; from ``first`` up to it nothing is here."""
        if first < successor.seq:
            taken = self._rows[-1].receipt_no
            missing.went_on(self._tx, successor.key, first, successor.seq, receipt_no=taken, now_ms=self._now_ms)

    def _may_have_signed(self, packet: Checked, spot: Place, placement: Placement) -> bool:
        """Whether the device itself sealed it. A second history under a replaced key is not the device's."""
        assert packet.signer_kid is not None
        if placement in UNPROVED and self._keys.is_replaced(packet.signer_kid):
            return False
        return self._keys.may_have_signed(packet.signer_kid, spot.key, spot.seq)

    def _take_from_old_key(self, spot: Place, packet: Checked) -> None:
        """Authentic, and signed after its key was replaced: a copy is at work, and must not stop the device."""
        assert packet.signer_kid is not None
        self._take(spot, packet, Verdict.QUARANTINED, OLD_KEY, in_chain=False)
        clones.whole_device_alarm(self._tx, Alarm.OLD_KEYS, self._device_id, packet.signer_kid, self._now_ms)

    def _stored(self, spot: Place, digest: bytes) -> Stored | None:
        return self._taken.get((spot, digest)) or custody.stored(self._tx, spot, digest)

    def _alarm(self, kind: Alarm, spot: Place) -> None:
        custody.alarm(self._tx, kind, spot, self._now_ms)

    def _bridge(self, successor: Place, prev_hash: bytes) -> None:
        """Put the spoilt packets that stand directly before an authentic one into their places.

        Their numbers follow from its own. Places already filled with these bytes answer as duplicates; places the
        chain still waits for are filled with them, as evidence, and the chain goes on with ``prev_hash``.
        """
        head = self._heads.get(successor.key)
        if head is None:
            return
        for behind in range(min(len(self._spoilt), successor.seq - FIRST_SEQ), 0, -1):
            packet, spot = self._spoilt[-behind], Place(successor.key, successor.seq - behind)
            if not _could_be_at(packet, spot):
                continue
            before = self._stored(spot, packet.digest)
            over_gone = (
                not head.frozen
                and spot.seq > head.next_seq
                and self._reaches(successor, behind)
                and self._is_behind_gone(spot)
            )
            if before is not None:
                self._say_again(spot, packet.digest, before)
            elif over_gone or (not head.frozen and spot.seq == head.next_seq and self._reaches(successor, behind)):
                first_gone = self._step_over_gone(spot, None) if over_gone else spot.seq
                self._take(spot, packet, Verdict.QUARANTINED, packet.refusal, in_chain=True)
                self._note_gone(spot, first_gone)
                self._alarm(Alarm.UNREADABLE, spot)
                custody.note_stand_in(self._tx, spot, prev_hash if behind == 1 else None)
                head = LaneHead(spot.seq + 1, prev_hash if behind == 1 else packet.digest)
                self._heads[successor.key] = head
            elif not self._answer_by_place(packet, spot):
                continue
            self._answered.add(packet.digest)

    def _answer_by_place(self, packet: Checked, spot: Place) -> bool:
        """Answer spoilt bytes by what stands in their place, below the head; False when nothing final can be said.

        Where a packet is in custody its own digest is named, which is true whoever sent what. Where spoilt bytes stand
        in, these are kept beside them.
        """
        head = self._heads.get(spot.key)
        if head is None or spot.seq >= head.next_seq:
            return False
        here = [row for row in self._rows if row.place == spot]
        if any(row.in_chain for row in here):
            return False  # it came a moment ago, with this very batch: the next one answers
        standing = custody.in_place(self._tx, spot)
        if standing is None:
            return False
        digest, kept = standing
        if kept.held_because is None:
            self._say_again(spot, digest, kept)
        elif packet.refusal != UNKNOWN_KEY and len(here) + custody.kept_at(self._tx, spot) < MOST_AT_A_PLACE:
            self._take(spot, packet, Verdict.QUARANTINED, packet.refusal, in_chain=False)
        else:
            return False
        return True

    def _move_aside(self, spot: Place) -> None:
        """Spoilt bytes of this very batch that stand in a place are evidence beside it from now on."""
        self._rows = [replace(row, in_chain=False) if row.place == spot else row for row in self._rows]

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
                # Without a readable place there is nothing a verdict could name, except what its device has signed.
                self._left.append(packet.stands_at[:2] if packet.stands_at else None)
                log.warning("%s sent %d unreadable bytes: %s", self._device_id, len(packet.envelope), packet.refusal)
                self._note_refusal(packet, packet.refusal or Refusal.NOT_CBOR.value)
                if packet.stands_at is not None:
                    self._answer_later_version(packet, packet.stands_at)
                continue
            spot = Place(LaneKey(self._device_id, header.lane, header.epoch), header.seq)
            before = self._stored(spot, packet.digest) if _could_be_at(packet, spot) else None
            if before is not None:
                self._say_again(spot, packet.digest, before)
            elif not self._answer_by_place(packet, spot):
                # Kept by the device: an unknown key may be our fault, and spoilt bytes get their place once an
                # authentic packet stands behind them. An epoch is drawn at random, so that one of ours under
                # another name is ours with a name that was spoilt.
                theirs = packet.refusal == Refusal.WRONG_DEVICE and spot.key not in self._heads
                verdict = Verdict.NOT_YOURS if theirs else Verdict.RETRY_LATER
                self._left.append((header.lane, header.epoch))
                self._note_refusal(packet, packet.refusal or verdict.value)
                self._say(spot, packet.digest, verdict, packet.refusal, None)
        self._spoilt.clear()

    def _answer_later_version(self, packet: Checked, stands_at: tuple[Lane, bytes, int]) -> None:
        """Ours to store, and not ours to judge yet: it waits on its device until this program knows its version.

        Unless it is here already, as evidence of its place, because an authentic packet stood behind it.
        """
        lane, epoch, seq = stands_at
        spot = Place(LaneKey(self._device_id, lane, epoch), seq)
        before = self._stored(spot, packet.digest)
        if before is not None:
            self._say_again(spot, packet.digest, before)
        else:
            self._say(spot, packet.digest, Verdict.RETRY_LATER, packet.refusal, None)

    def _take(self, spot: Place, packet: Checked, verdict: Verdict, reason: str | None, *, in_chain: bool) -> None:
        row = custody.PacketRow(
            next(self._numbers), spot, packet, in_chain=in_chain, verdict=verdict, reason=reason, now_ms=self._now_ms
        )
        self._rows.append(row)
        kept = Stored(row.receipt_no, self._now_ms, reason if verdict is Verdict.QUARANTINED else None)
        self._taken[spot, packet.digest] = kept
        self._say(spot, packet.digest, verdict, reason, kept)
        if verdict is Verdict.QUARANTINED:
            about = events.About(spot.key.device_id, row.receipt_no, packet.digest)
            # The same rubbish in two places is two events.
            nth = f"{spot.key.lane.value}/{spot.key.epoch.hex()}/{spot.seq}"
            events.packet_quarantined(self._tx, about, at_ms=self._now_ms, reason=reason or verdict.value, nth=nth)

    def _note_refusal(self, packet: Checked, reason: str) -> None:
        header = packet.header
        self._refused = True
        quarantine.note_refusal(
            self._tx,
            self._device_id,
            packet.digest,
            reason=reason,
            place=(header.lane.value, header.epoch, header.seq) if header else packet.stands_at,
            size=len(packet.envelope),
            now_ms=self._now_ms,
        )

    def _say_again(self, spot: Place, digest: bytes, before: Stored) -> None:
        """Repeat what was said of these bytes. One that is held is told to be held again: the first reply may be lost,
        and "duplicate" alone would sound as good as accepted.
        """
        verdict = Verdict.DUPLICATE if before.held_because is None else Verdict.QUARANTINED
        self._say(spot, digest, verdict, before.held_because, before)

    def _say(self, spot: Place, digest: bytes, verdict: Verdict, reason: str | None, kept: Stored | None) -> None:
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
    """Unreadable bytes could be anything of their sender. Readable ones must say this place and this sender; where
    their signature is wrong, one of the four may be what was spoilt.
    """
    header = packet.header
    if header is None:
        return packet.stands_at is None or packet.stands_at == (spot.key.lane, spot.key.epoch, spot.seq)
    said = (header.device_id, header.lane, header.epoch, header.seq)
    mine = (spot.key.device_id, spot.key.lane, spot.key.epoch, spot.seq)
    astray = sum(one != other for one, other in zip(said, mine, strict=True))
    return astray <= (0 if packet.refusal == UNKNOWN_KEY else 1)
