"""The keys a device has signed with, and how far each of them counts.

A device that makes a new key leaves packets behind that the old one signed; they are taken like any other. But nobody
signs with the old key any more, and a copy of it may be in other hands. So when a new key is first seen, what the
device says of its chains in that very checkpoint is kept: up to there the old key may have signed, and no further. A
chain that is begun later is not the old key's at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from head_office.custody import LANES, LaneKey, heads_of
from head_office.ledger.base import Ledger, Question, Row, Transaction
from sync.checkpoint import Checkpoint
from sync.envelope import Lane
from sync.keys import PublicKey, load_spki

OLD_KEY = "old_key"
"""Why a packet is in quarantine that a replaced key has signed after it was replaced."""
NOTHING = 0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a device; a later one has a higher number."""

    public_key: PublicKey
    number: int
    replaced: bool


@dataclass(slots=True)
class SigningKeys:
    """Every key a device was ever certified to sign with, by key id."""

    device_id: str
    by_kid: Mapping[bytes, SigningKey]
    bounds: dict[tuple[int, LaneKey], int] = field(default_factory=dict)
    """By the number of the newer key and the chain: the first place the keys before it have not signed."""

    @property
    def public(self) -> dict[bytes, PublicKey]:
        """What signatures are checked with."""
        return {kid: key.public_key for kid, key in self.by_kid.items()}

    def is_replaced(self, kid: bytes) -> bool:
        """Whether a newer key was seen."""
        key = self.by_kid.get(kid)
        return key is not None and key.replaced

    def has_older(self, kid: bytes) -> bool:
        """Whether a key before this one still counts."""
        number = self.by_kid[kid].number
        return any(key.number < number and not key.replaced for key in self.by_kid.values())

    def may_have_signed(self, kid: bytes | None, chain: LaneKey, seq: int) -> bool:
        """Whether the key was in use when that place was sealed."""
        key = None if kid is None else self.by_kid.get(kid)
        if key is None or not key.replaced:
            return True
        newer = {number for number, _ in self.bounds if number > key.number}
        return seq < min((self.bounds.get((number, chain), NOTHING) for number in newer), default=NOTHING)

    def has_signed(self, tx: Transaction, kid: bytes | None, chain: LaneKey, seq: int) -> None:
        """A packet of this key was accepted there: from here on the keys before it have signed nothing."""
        key = None if kid is None else self.by_kid.get(kid)
        if key is None or seq >= self.bounds.get((key.number, chain), NOTHING):
            return
        self.bounds[key.number, chain] = seq
        tx.execute(
            "UPDATE key_bounds SET next_seq = ? WHERE device_id = ? AND key_no = ? AND lane = ? AND epoch = ?",
            (seq, self.device_id, key.number, chain.lane, chain.epoch),
        )


def question(device_id: str) -> Question:
    """Asks for the keys of a device; :func:`from_rows` reads the answer.

    Expired ones as well: a laptop that was offline for longer than a certificate lives still holds real claims.
    """
    return (
        "SELECT kid, spki, key_no, superseded_at FROM certificates WHERE device_id = ? AND purpose = 'signing'",
        (device_id,),
    )


def read(ledger: Ledger, device_id: str) -> SigningKeys:
    """The keys of a device."""
    return from_rows(ledger, device_id, ledger.read(*question(device_id)))


def from_rows(ledger: Ledger, device_id: str, rows: Sequence[Row]) -> SigningKeys:
    """The keys of a device; how far they count is read only where one was replaced."""
    by_kid = {
        bytes(row["kid"]): SigningKey(load_spki(row["spki"]), row["key_no"], row["superseded_at"] is not None)
        for row in rows
    }
    bounds: dict[tuple[int, LaneKey], int] = {}
    if any(key.replaced for key in by_kid.values()):
        for row in ledger.read("SELECT * FROM key_bounds WHERE device_id = ?", (device_id,)):
            chain = LaneKey(device_id, Lane(row["lane"]), bytes(row["epoch"]))
            bounds[row["key_no"], chain] = row["next_seq"]
    return SigningKeys(device_id, by_kid, bounds)


def write_bounds(tx: Transaction, checkpoint: Checkpoint, key_no: int, last_checkpoint: str | None) -> None:
    """Keep how far the chains of a device have come, at its first checkpoint signed with key ``key_no``.

    Chains it no longer announces ended before: they go as far as they were announced last, or as they came here.
    """
    device_id = checkpoint.device_id
    reached = {key: head.next_seq for key, head in heads_of(device_id, tx.execute(LANES, (device_id,))).items()}
    for lane in json.loads(last_checkpoint)["lanes"] if last_checkpoint else ():
        chain = LaneKey(device_id, Lane(lane["lane"]), bytes.fromhex(lane["epoch"]))
        reached[chain] = max(lane["next_seq"], reached.get(chain, NOTHING))
    for state in checkpoint.lanes:
        reached[LaneKey(device_id, state.lane, state.epoch)] = state.next_seq
    for chain, next_seq in reached.items():
        tx.execute(
            "INSERT INTO key_bounds (device_id, key_no, lane, epoch, next_seq) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (device_id, key_no, chain.lane, chain.epoch, next_seq),
        )
