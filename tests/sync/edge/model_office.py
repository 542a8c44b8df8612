"""The smallest head office that keeps its promises: it stores in order, answers duplicates, signs what it stored.

A model for tests of the device's end, with faults on request; the real one lives in ``head_office``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.checkpoint import read_batch
from sync.edge.head_office_client import Reply
from sync.envelope import FIRST_SEQ, NO_HASH, envelope_digest, verify
from sync.errors import Cause, HeadOfficeError
from sync.keys import PublicKey, SoftwareSigner
from sync.receipt import LaneHead, PacketVerdict, Receipt, Verdict, sign

Chain = tuple[str, bytes]


@dataclass
class ModelOffice:
    """Takes batches of one device as bytes and answers with receipts as bytes."""

    signer: SoftwareSigner
    device_key: PublicKey
    now: datetime
    stored: dict[Chain, list[bytes]] = field(default_factory=dict)
    """Envelopes by lane and epoch, in order: what it is accountable for."""
    lose_replies: int = 0
    """The next so many replies are lost after everything was stored."""
    refuse: HeadOfficeError | None = None
    """Raised instead of taking anything, as often as it is set."""
    quarantine: set[bytes] = field(default_factory=set)
    """Digests it finds fault with."""
    retry_later: bool = False
    requests: int = 0
    round_trip_ns: int = 100_000_000
    change_receipt: dict[str, Any] = field(default_factory=dict)

    def post(self, path: str, body: bytes) -> Reply:
        """As the head-office client does."""
        assert path == "/v1/sync"
        self.requests += 1
        if self.refuse is not None:
            raise self.refuse
        receipt = self.receive(body)
        if self.lose_replies:
            self.lose_replies -= 1
            raise HeadOfficeError(Cause.UNREACHABLE, "the reply was lost")
        return Reply(receipt, 0, self.round_trip_ns)

    def receive(self, body: bytes) -> bytes:
        """Store, then sign."""
        batch = read_batch(body)
        checkpoint = batch.verified(self.device_key)
        verdicts = tuple(self._judge(envelope) for envelope in batch.packets)
        content: dict[str, Any] = {
            "device_id": checkpoint.device_id,
            "nonce": checkpoint.nonce,
            "server_time": self.now,
            "lanes": tuple(
                LaneHead(
                    lane=lane.lane,
                    epoch=lane.epoch,
                    next_seq=FIRST_SEQ + len(chain),
                    head_hash=envelope_digest(chain[-1]) if chain else NO_HASH,
                )
                for lane in checkpoint.lanes
                for chain in [self.stored.get((lane.lane, lane.epoch), [])]
            ),
            "verdicts": verdicts,
            "next_poll_s": 60,
        }
        return sign(Receipt(**(content | self.change_receipt)), self.signer)

    def _judge(self, envelope: bytes) -> PacketVerdict:
        verified = verify(envelope, self.device_key)
        header = verified.header
        chain = self.stored.setdefault((header.lane, header.epoch), [])
        at = header.seq - FIRST_SEQ
        verdict, reason = Verdict.RETRY_LATER, "gap"
        if at < len(chain):
            verdict, reason = (Verdict.DUPLICATE, "") if chain[at] == envelope else (Verdict.QUARANTINED, "fork")
        elif self.retry_later:
            reason = "busy"
        elif at == len(chain) and header.prev_hash == (envelope_digest(chain[-1]) if chain else NO_HASH):
            chain.append(envelope)
            verdict, reason = Verdict.ACCEPTED, ""
            if verified.digest in self.quarantine:
                verdict, reason = Verdict.QUARANTINED, "schema"
        return PacketVerdict(
            lane=header.lane,
            epoch=header.epoch,
            seq=header.seq,
            digest=verified.digest,
            verdict=verdict,
            reason=reason or None,
            receipt_no=f"R-{header.lane}-{header.seq}" if verdict.in_custody else None,
            stored_at=self.now if verdict.in_custody else None,
        )

    def everything(self) -> list[bytes]:
        """All envelopes it is accountable for."""
        return [envelope for chain in self.stored.values() for envelope in chain]
