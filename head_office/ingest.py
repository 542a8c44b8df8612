"""From the bytes of one batch to a signed receipt: check, store durably, and only then sign.

One transaction per batch::

    lock the device's row -> for each packet: signature, place in its chain -> insert it unchanged
    -> move the lane's head -> COMMIT, flushed -> sign the receipt

A receipt is proof of storage, so nothing is signed before COMMIT has returned. When the reply is lost, the device
sends the same packets again, and gets the same receipt numbers: "duplicate", or once more why one is held.

A device that has nothing to send costs reads only: what its checkpoint says is noted in memory.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from head_office import clones, commands, custody, elsewhere, heard, missing, signing_keys
from head_office.authenticity import authentic, check, read
from head_office.clusters import Clusters
from head_office.crowd import Crowd
from head_office.device_registry import DeviceRegistry, DeviceState
from head_office.errors import DeviceBlockedError, RefusedError
from head_office.heard import Heard, note_of
from head_office.keys.trust import for_device
from head_office.ledger.base import LOCK_DEVICE, Answers, Ledger, Question, Row, Transaction
from head_office.moment import Clock, from_ms, to_ms
from head_office.round import Round
from head_office.signing_keys import SigningKeys
from sync import receipt as reply
from sync.checkpoint import Batch, Checkpoint
from sync.keys import Signer
from sync.receipt import Command, PacketVerdict, Receipt


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receipt says of a batch."""

    verdicts: tuple[PacketVerdict, ...]
    heads: tuple[reply.LaneHead, ...]
    commands: tuple[Command, ...]
    _: KW_ONLY
    stored: bool
    """Whether there is something new for the opening worker to look at."""


class Ingest:
    """Takes batches. Any thread may call it; batches that come together share a flush."""

    def __init__(
        self,
        ledger: Ledger,
        registry: DeviceRegistry,
        signer: Signer,
        clock: Clock,
        *,
        poll_s: int,
        on_stored: Callable[[], None],
        clusters: Clusters | None = None,
    ) -> None:
        """``poll_s`` is when an idle device asks next; ``on_stored`` is told after a commit that there is work."""
        self._clusters = clusters
        self._ledger, self._registry, self._signer, self._clock = ledger, registry, signer, clock
        self._poll_s, self._on_stored = poll_s, on_stored
        self._heard = Heard(ledger)
        self._crowd = Crowd()

    def receive(self, tls_certificate: bytes, body: bytes) -> bytes:
        """Take one batch and return the signed receipt.

        Raises a RefusedError when the request as a whole is not acceptable, a LedgerError when nothing could be
        stored, or nobody knows (LedgerUnknownError): the device sends again, and the digests tell. A receipt is
        returned in no such case.
        """
        with self._crowd.place() as leave:
            try:
                batch = read(body)
            except RefusedError:
                self._registry.device_of_certificate(tls_certificate)  # whose rubbish it is matters more
                raise
            claimed = batch.claimed.device_id
            certificate, keys = self._ledger.read_all(
                [self._registry.certificate_question(tls_certificate), signing_keys.question(claimed)]
            )
            device_id = self._registry.admit(tls_certificate, certificate)
            return self._receive(
                device_id, batch, signing_keys.from_rows(self._ledger, claimed, keys), leave, carried=False
            )

    def receive_carried(self, body: bytes) -> bytes:
        """Take one batch that came as a file, and return the signed receipt to be carried back.

        The device is known by the signature on its checkpoint, which is as good as its TLS certificate: who carried
        the file does not matter, nor when. Raises like :meth:`receive`; NotYourCheckpointError for a device not
        known here.
        """
        with self._crowd.place() as leave:
            batch = read(body)
            device_id = batch.claimed.device_id
            return self._receive(device_id, batch, signing_keys.read(self._ledger, device_id), leave, carried=True)

    def close(self) -> None:
        """Write what idle devices said last. Raises LedgerError."""
        self._heard.flush()

    def _receive(
        self, device_id: str, batch: Batch, keys: SigningKeys, leave: Callable[[], None], *, carried: bool
    ) -> bytes:
        checkpoint = authentic(batch, device_id, keys.public)
        with self._crowd.alone(device_id):
            return self._take_in(checkpoint, batch, keys, leave, carried=carried)

    def _take_in(
        self, checkpoint: Checkpoint, batch: Batch, keys: SigningKeys, leave: Callable[[], None], *, carried: bool
    ) -> bytes:
        device_id = checkpoint.device_id
        if keys.is_replaced(batch.signed.kid):
            if not carried:
                self._registry.refuse_replaced(device_id, batch.signed.kid)
        elif keys.has_older(batch.signed.kid):
            self._heard.flush()  # how far its chains had come, when last heard of
            self._registry.seen_with_key(checkpoint, batch.signed.kid)
            keys = signing_keys.read(self._ledger, device_id)
        # On a stick that was on its way for long: what it brings counts, what it says of the device does not.
        outdated = keys.is_replaced(batch.signed.kid)
        now_ms = to_ms(self._clock())
        answer = None if batch.packets or carried else self._idle(checkpoint, now_ms)
        if answer is None:
            packets = [check(envelope, device_id, keys.public) for envelope in batch.packets]

            def take(tx: Transaction, known: Answers) -> Answer:
                try:
                    taken = take_in(tx, known)
                    tx.send()
                    return taken
                finally:
                    leave()  # What is left is the flush.

            def take_in(tx: Transaction, known: Answers) -> Answer:
                row, orders = (known[0] or (None,))[0], known[2]
                heads_before = custody.heads_of(device_id, known[1])
                if row is not None and row["state"] == DeviceState.MOVED:
                    verdicts, heads, may_go = elsewhere.answer(tx, checkpoint, packets, heads_before)
                    return Answer(verdicts, heads, self._move(row, checkpoint, may_go), stored=False)
                if row is None or row["state"] != DeviceState.ACTIVE:
                    raise DeviceBlockedError(device_id)
                if not carried:
                    clones.note_boot(tx, row, checkpoint.boot_id, now_ms)
                judged = Round(
                    tx, checkpoint, packets, heads_before, now_ms, carried=carried, keys=keys, outdated=outdated
                )
                verdicts, heads = judged.finish()
                if not outdated:
                    if not carried or heard.is_newer(checkpoint, row["last_checkpoint"]):
                        heard.write(tx, note_of(checkpoint, verdicts, now_ms))
                    commands.settle(tx, device_id, checkpoint, now_ms)
                    behind = judged.behind()
                    missing.notice(tx, checkpoint, behind, now_ms, carried=carried)
                    if behind or checkpoint.commands_done or checkpoint.commands_refused:
                        orders = tx.execute(*commands.question(device_id))
                return Answer(verdicts, heads, commands.chosen(orders), stored=bool(packets))

            if not self._ledger.many_writers:
                leave()  # One thread does the work of all that wait for the writer: more of them, fewer flushes.
            # The device's row first: whoever holds it is alone with all that is read after it.
            asks: list[Question] = [
                (LOCK_DEVICE, (device_id,)),
                (custody.LANES, (device_id,)),
                commands.question(device_id),
            ]
            answer = self._ledger.together_after(asks, take)
            # Committed and flushed: from here on the packets are ours, whatever happens to this reply.
            self._heard.forget(device_id)
            if answer.stored:
                self._on_stored()
        waiting = sum(state.depth for state in checkpoint.lanes)
        settled = sum(verdict.verdict.in_custody for verdict in answer.verdicts)
        signer, told = for_device(self._signer, checkpoint.versions)
        receipt = Receipt(
            device_id=device_id,
            nonce=checkpoint.nonce,
            server_time=from_ms(now_ms),
            lanes=answer.heads,
            verdicts=answer.verdicts,
            next_poll_s=1 if waiting > settled > 0 else self._poll_s,
            commands=answer.commands,
            trust=told,
        )
        return reply.sign(receipt, signer)

    def _move(self, device: Row, checkpoint: Checkpoint, may_go: bool) -> tuple[Command, ...]:
        """The command to go to the cluster that has the device now, once nothing keeps it here."""
        there = None if self._clusters is None else self._clusters.named(device["state_reason"])
        if there is None or not may_go:
            return ()
        return (elsewhere.move_to(there.url, checkpoint.nonce),)

    def _idle(self, checkpoint: Checkpoint, now_ms: int) -> Answer | None:
        """The answer to a device that brings nothing and says nothing new; None when there is something to write."""
        if checkpoint.commands_done or checkpoint.commands_refused:
            return None
        device_id = checkpoint.device_id
        rows, lanes, orders = self._ledger.read_all(
            [
                ("SELECT state, last_checkpoint FROM devices WHERE device_id = ?", (device_id,)),
                (custody.LANES, (device_id,)),
                commands.question(device_id),
            ]
        )
        if not rows or rows[0]["state"] != DeviceState.ACTIVE:
            return None
        if not heard.is_same_boot(checkpoint, rows[0]["last_checkpoint"], now_ms):
            return None
        known = custody.heads_of(device_id, lanes)
        heads = []
        unfrozen = {(key.lane, key.epoch): head.next_seq for key, head in known.items() if not head.frozen}
        for (lane, epoch), one in missing.chains_behind(checkpoint.lanes, unfrozen, {}).items():
            if not missing.is_known(self._ledger.read, custody.LaneKey(device_id, lane, epoch), one, now_ms):
                return None
        for state in checkpoint.lanes:
            key = custody.LaneKey(device_id, state.lane, state.epoch)
            head = known.get(key)
            if head is None or state.next_seq < head.next_seq:
                return None
            heads.append(custody.told(key, head))
        self._heard.note(note_of(checkpoint, (), now_ms))
        return Answer((), tuple(heads), commands.chosen(orders), stored=False)
