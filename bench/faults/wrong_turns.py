"""More builds that are wrong on purpose: each goes wrong at one turn that only one event of ``any_order`` takes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.faults.history import Fault
from bench.faults.rig import Build
from head_office import giving_up, missing, signing_keys
from head_office import ingest as ingest_module
from head_office.authenticity import Checked, check, read
from head_office.errors import NotYourCheckpointError
from head_office.giving_up import Missing, MissingPlaces, MissingState
from head_office.hand_over import hand_over
from head_office.ingest import Ingest
from sync.edge import chains
from sync.edge import uploader as uploader_module
from sync.edge.outbox import NewChain, Outbox
from sync.edge.uploader import Uploader
from sync.errors import ReceiptError, Refusal
from sync.keys import PublicKey
from sync.receipt import _PROOF as PROOF
from sync.receipt import VerifiedReceipt, read_receipt


class _TrustingUploader(Uploader):
    """Looks at a receipt's device and nonce, and not at its signature."""

    def _round(self, **more: Any) -> Any:
        def believed(data: bytes, keys: Mapping[bytes, PublicKey], device: str, nonce: bytes) -> VerifiedReceipt:
            said = read_receipt(data)
            if (said.device_id, said.nonce) != (device, nonce):
                raise ReceiptError(Refusal.WRONG_NONCE, "nonce")
            return VerifiedReceipt(said, data, next(iter(keys)), PROOF)

        with patch.object(uploader_module, "verify_receipt", believed):
            return super()._round(**more)


class _TrustingIngest(Ingest):
    """Takes a packet whose place it can read, whether its signature fits or not."""

    def receive(self, *arguments: Any, **more: Any) -> bytes:
        def good(envelope: bytes, device_id: str, keys: Mapping[bytes, PublicKey]) -> Checked:
            found = check(envelope, device_id, keys)
            return replace(found, refusal=None) if found.refusal == Refusal.BAD_SIGNATURE else found

        with patch.object(ingest_module, "check", good):
            return super().receive(*arguments, **more)


class _TidyOutbox(Outbox):
    """Clears away what the device before it has left."""

    def take_up(self, device_id: str) -> tuple[NewChain, ...]:
        begun = super().take_up(device_id)
        with self._database.transaction() as tx:
            tx.execute("DROP TRIGGER IF EXISTS outbox_held_fast")
            for row in tx.execute(
                "SELECT r.id FROM outbox_rows r JOIN outbox_chains c ON c.id = r.chain"
                " WHERE state = 'READY' AND c.device_id <> ?",
                (device_id,),
            ).fetchall():
                tx.execute("UPDATE outbox_rows SET state = 'DEAD' WHERE id = ?", (row["id"],))
                tx.execute("DELETE FROM outbox_envelopes WHERE id = ?", (row["id"],))
        return begun


class _NamelessOutbox(Outbox):
    """Sends everything that waits as the device it is now."""

    def due(self, *arguments: Any, **more: Any) -> Any:
        with patch.object(chains, "of_this_device", chains.of_lane):
            return super().due(*arguments, **more)


def _without(*tables: str) -> Callable[..., Iterable[str]]:
    """A hand-over that leaves out what these tables hold."""

    def forgetful(*arguments: Any, **more: Any) -> Iterable[str]:
        for line in hand_over(*arguments, **more):
            said = json.loads(line)
            yield json.dumps(said | {table: [] for table in tables if table in said})

    return forgetful


class _ImpatientIngest(Ingest):
    """Takes no stick that was written before its device got new keys."""

    def receive_carried(self, body: bytes) -> bytes:
        batch = read(body)
        if signing_keys.read(self._ledger, batch.claimed.device_id).is_replaced(batch.signed.kid):
            raise NotYourCheckpointError("signed with a key that was replaced")
        return super().receive_carried(body)


class _IncuriousIngest(Ingest):
    """Does not notice that a device has delivered what is not here."""

    def receive(self, *arguments: Any, **more: Any) -> bytes:
        with patch.object(missing, "notice", lambda *_, **__: None):
            return super().receive(*arguments, **more)


class _HastyPlaces(MissingPlaces):
    """Lets people give up places before their device has answered."""

    def ask(self, number: int, reason: str, *, by: str) -> Missing:
        with patch.object(giving_up, "_from", _answered):
            return super().ask(number, reason, by=by)

    def confirm(self, number: int, *, by: str) -> Missing:
        with patch.object(giving_up, "_from", _answered):
            return super().confirm(number, by=by)


_from = giving_up._from


def _answered(row: Any) -> Missing:
    found = _from(row)
    waits = found.state in (MissingState.ASKED_AGAIN, MissingState.NOT_ASKED)
    return replace(found, state=MissingState.NOT_ON_DEVICE) if waits else found


UNASKING = Build(
    "a restored head office does not ask",
    ingest=_IncuriousIngest,
    wrong="what it lost is not asked for again",
    shows=frozenset({Fault.LOST}),
)
WRONG_TURNS = (
    Build(
        "device believes a spoilt receipt",
        uploader=_TrustingUploader,
        wrong="a receipt's signature is not looked at",
        shows=frozenset({Fault.UNPROVED}),
    ),
    Build(
        "head office takes spoilt packets",
        ingest=_TrustingIngest,
        wrong="a packet's signature is not looked at",
        shows=frozenset({Fault.CHANGED}),
    ),
    Build(
        "a second enrolment clears the queue",
        outbox=_TidyOutbox,
        wrong="what waits under the former name is dropped",
        shows=frozenset({Fault.LOST}),
    ),
    Build(
        "a second enrolment takes the queue along",
        outbox=_NamelessOutbox,
        wrong="what waits under the former name is sent under the new one",
        shows=frozenset({Fault.NOT_DRAINED}),
    ),
    Build(
        "hand-over forgets how far chains have come",
        hand_over=_without("lanes"),
        wrong="no chain heads in the file",
        shows=frozenset({Fault.NOT_DRAINED, Fault.DOUBLED}),
    ),
    Build(
        "hand-over forgets what was stored",
        hand_over=_without("stored_elsewhere"),
        wrong="no digests in the file",
        shows=frozenset({Fault.DOUBLED}),
    ),
    Build(
        "head office refuses sticks of replaced keys",
        ingest=_ImpatientIngest,
        wrong="a stick from before new keys is turned away",
        shows=frozenset({Fault.REFUSED}),
    ),
    UNASKING,
    Build(
        "a restored head office gives up too early",
        places=_HastyPlaces,
        wrong="places are gone before their device has answered",
        shows=frozenset({Fault.LOST}),
    ),
)
