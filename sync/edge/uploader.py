"""One sync round: due packets and a signed checkpoint out, a receipt back, the queue settled against it.

A round never raises for what a network or head office does: it says what happened and by what cause, and every
packet is still there. Trouble with the device's own disk does raise; that is no matter of trying again.
"""

import enum
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sync.checkpoint import MAX_CHAINS, NONCE_BYTES, Checkpoint, LaneState, StorageMark, sign_batch
from sync.edge.backoff import delay_s
from sync.edge.batch_size import BatchSize
from sync.edge.breaker import Breaker
from sync.edge.clock import Clock, HeadOfficeTime
from sync.edge.head_office_client import Reply
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow
from sync.edge.receipts import Answer, Receipts
from sync.edge.settlement import NOT_IN_RECEIPT, Settlement
from sync.errors import Cause, HeadOfficeError, ReceiptError
from sync.keys import PublicKey, Signer
from sync.receipt import Command, Receipt, Verdict, VerifiedReceipt, verify_receipt

PATH = "/v1/sync"


class RoundOutcome(enum.StrEnum):
    """How a round ended."""

    DELIVERED = "delivered"
    """A verified receipt came; see the numbers for what it covers."""
    IDLE = "idle"
    """Nothing to send, and head office does not wait to hear of us."""
    WAITING = "waiting"
    """Too early after a failure."""
    FAILED = "failed"
    """No verified receipt; everything is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """What one round did."""

    outcome: RoundOutcome
    next_at: datetime
    """When the next round is worth making; a new packet is worth one at once unless this one failed."""
    cause: Cause | None = None
    """Why it failed; FORK or LANE_FROZEN beside DELIVERED: a person must look."""
    detail: str = ""
    refused_as: str = ""
    """Head office's own code, where it refused."""
    hint: str = ""
    sent: int = 0
    sent_bytes: int = 0
    acked: tuple[OutboxRow, ...] = ()
    """In custody since this round, quarantined ones included."""
    quarantined: int = 0
    left: int = 0
    """Of what was sent, what is here still: asked for again later, or named by no verdict."""
    dead: int = 0
    receipt: Receipt | None = None

    @property
    def commands(self) -> tuple[Command, ...]:
        """What the receipt asked of this device; verified as the receipt was, and carried out where it is new."""
        return () if self.receipt is None else self.receipt.commands


@dataclass(frozen=True, slots=True)
class Trust:
    """Pinned at enrolment: who we are, and whose receipts count."""

    device_id: str
    receipt_keys: Mapping[bytes, PublicKey]


class Client(Protocol):
    """What the uploader needs of the head-office client."""

    def post(self, path: str, body: bytes) -> Reply:
        """Raises HeadOfficeError."""


class Uploader:
    """Makes rounds, one at a time; give it one thread, and any other may ask for a round too."""

    def __init__(
        self,
        outbox: Outbox,
        client: Client,
        signer: Signer,
        trust: Trust,
        clock: Clock,
        *,
        breaker: Breaker,
        head_office_time: HeadOfficeTime,
        free_disk_bytes: Callable[[], int],
        versions: Mapping[str, str],
        draw: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
        receipts: Receipts | None = None,
        storage: Callable[[], StorageMark] = lambda: StorageMark.OK,
    ) -> None:
        """``draw`` gives random numbers in [0, 1) for jitter, ``random`` bytes for nonces.

        ``versions`` is read anew for every checkpoint. ``receipts`` is what takes receipts; None: the outbox alone.
        """
        self._outbox, self._client, self._signer, self._trust = outbox, client, signer, trust
        self._clock, self._breaker, self._head_office_time = clock, breaker, head_office_time
        self._free_disk_bytes, self._versions, self._storage = free_disk_bytes, versions, storage
        self._receipts = Receipts(outbox) if receipts is None else receipts
        self._draw, self._random = draw, random
        self._size = BatchSize()
        self._one_at_a_time = threading.Lock()

    def round(self, *, now_please: bool = False) -> RoundResult:
        """Make one round; ``now_please`` goes ahead although a pause or the next poll is not over."""
        with self._one_at_a_time:
            return self._round(now_please=now_please)

    def _round(self, *, now_please: bool) -> RoundResult:
        now = self._clock.utc()
        state = self._breaker.state()
        if self._breaker.is_open(now) and not now_please:
            return RoundResult(outcome=RoundOutcome.WAITING, next_at=state.not_before, detail=state.last_error or "")
        # After a failure a single packet tries the way.
        most = {"most": 1} if state.failures else {}
        # A person who asks is not answered with a round that leaves out what failed a moment ago.
        rows = self._outbox.due(now, self._size.bytes, however_early=now_please, **most)
        if not rows and not now_please and not self._breaker.poll_is_due(now):
            return RoundResult(outcome=RoundOutcome.IDLE, next_at=state.next_poll)
        checkpoint = self.checkpoint(now)
        body = sign_batch(checkpoint, [row.envelope for row in rows], self._signer)
        try:
            reply = self._client.post(PATH, body)
            receipt = verify_receipt(reply.body, self._trust.receipt_keys, checkpoint.device_id, checkpoint.nonce)
        except ReceiptError as error:
            # A 200 proves nothing: a captive portal gives one too, and so does a replayed reply.
            return self._failed(rows, len(body), HeadOfficeError(Cause.BAD_RECEIPT, str(error)))
        except HeadOfficeError as error:
            return self._failed(rows, len(body), error)
        self._size.sent(len(body), (reply.received_ns - reply.sent_ns) / 1e9)
        self._head_office_time.learn(receipt.content.server_time, reply.sent_ns, reply.received_ns)
        return self._settled(rows, len(body), receipt)

    @property
    def receipts(self) -> Receipts:
        """What takes receipts, also those that come another way."""
        return self._receipts

    def checkpoint(self, now: datetime) -> Checkpoint:
        """Where this device stands, with a fresh nonce; any thread may ask, also during a round."""
        done, refused = self._receipts.report()
        growing = tuple(
            LaneState(
                lane=counts.lane,
                epoch=counts.epoch,
                next_seq=counts.next_seq,
                head_hash=counts.head_hash,
                depth=counts.ready - counts.former,
                oldest_age_s=_age_s(counts.oldest_ready_at, now),
            )
            for counts in self._outbox.counts()
        )
        # Head office takes packets of announced chains only, and may never have heard of one that ended.
        ended = tuple(
            LaneState(
                lane=chain.lane,
                epoch=chain.epoch,
                next_seq=chain.next_seq,
                head_hash=chain.head_hash,
                depth=0,
                oldest_age_s=0,
            )
            for chain in self._outbox.ended(MAX_CHAINS - len(growing))
        )
        return Checkpoint(
            device_id=self._trust.device_id,
            nonce=self._random(NONCE_BYTES),
            boot_id=self._clock.boot_id,
            wall_utc=now,
            monotonic_ns=self._clock.monotonic_ns(),
            lanes=(*ended, *growing),
            free_disk_bytes=self._free_disk_bytes(),
            storage=self._storage(),
            versions=dict(self._versions),
            commands_done=done,
            commands_refused=refused,
        )

    def _settled(self, rows: Sequence[OutboxRow], sent_bytes: int, receipt: VerifiedReceipt) -> RoundResult:
        now = self._clock.utc()
        # Before anything of the receipt is taken over: should the disk fail at that, head office was still reached.
        next_at = self._breaker.succeeded(now, receipt.content.next_poll_s)
        answer = self._receipts.take(receipt)
        settlement = answer.settlement
        gone = {row.id for row in (*settlement.acked, *settlement.dead)}
        kept = [row for row in rows if row.id not in gone]
        again_at = self._try_again_later(kept, settlement, now)
        cause, detail = _two_histories(answer)
        more = bool(self._outbox.due(now, 1, most=1))
        return RoundResult(
            outcome=RoundOutcome.DELIVERED,
            next_at=now if more else min(next_at, again_at),
            cause=cause,
            detail=detail,
            sent=len(rows),
            sent_bytes=sent_bytes,
            acked=settlement.acked,
            quarantined=sum(row.verdict is Verdict.QUARANTINED for row in settlement.acked),
            left=len(kept),
            dead=len(settlement.dead),
            receipt=receipt.content,
        )

    def _try_again_later(self, kept: Sequence[OutboxRow], settlement: Settlement, now: datetime) -> datetime:
        """Postpone what was sent and is still ours; gives when the first of it is due again."""
        first = datetime.max.replace(tzinfo=now.tzinfo)
        for row in kept:
            until = now + timedelta(seconds=delay_s(row.attempts + 1, self._draw()))
            self._outbox.postpone([row], until, settlement.left.get(row.id, NOT_IN_RECEIPT))
            first = min(first, until)
        return first

    def _failed(self, rows: Sequence[OutboxRow], sent_bytes: int, error: HeadOfficeError) -> RoundResult:
        now = self._clock.utc()
        self._size.failed()
        until = self._breaker.failed(
            now,
            str(error),
            retry_after_s=error.retry_after_s,
            by_decision=error.cause in (Cause.REFUSED, Cause.OUR_CERTIFICATE_REFUSED),
        )
        self._outbox.postpone(rows, until, error.refused_as or error.cause.value)
        return RoundResult(
            outcome=RoundOutcome.FAILED,
            next_at=until,
            cause=error.cause,
            detail=error.detail,
            refused_as=error.refused_as,
            hint=error.hint,
            sent=len(rows),
            sent_bytes=sent_bytes,
        )


def _two_histories(answer: Answer) -> tuple[Cause | None, str]:
    """What a person must be told beside a delivery that went well."""
    frozen = ", ".join(f"{one.lane}: {one.reason}" for one in answer.frozen)
    if answer.settlement.forked:
        forked = ", ".join(answer.settlement.forked)
        return Cause.FORK, f"head office's chain is not ours: {forked}" + (f" (frozen {frozen})" if frozen else "")
    if frozen:
        return Cause.LANE_FROZEN, frozen
    return None, ""


def _age_s(since: datetime | None, now: datetime) -> int:
    return 0 if since is None else max(0, int((now - since).total_seconds()))
