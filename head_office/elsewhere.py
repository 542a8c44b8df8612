"""What a device is told that has moved to another cluster: signed like everything else, and storing nothing.

It may still hold packets that were stored here and whose reply was lost; those get their old answer. Everything else
is to be sent to the other cluster: *retry later*, with the reason. Once nothing is left that only we could answer for,
the receipt carries the command to move. The device goes by that command alone: who can redirect it is who can sign.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from head_office import custody
from head_office.authenticity import Checked
from head_office.checks import LaneHead
from head_office.custody import LaneKey, Place
from head_office.ledger.base import Transaction
from head_office.moment import from_ms
from sync import commands as wire
from sync import receipt as reply
from sync.checkpoint import COMMAND_ID_BYTES, Checkpoint
from sync.envelope import Lane
from sync.receipt import Command, PacketVerdict, Verdict

OTHER_CLUSTER = "other_cluster"
"""The reason in verdicts, and the code of the refusal of a device that was never here."""


def answer(
    tx: Transaction, checkpoint: Checkpoint, packets: Sequence[Checked], known: Mapping[LaneKey, LaneHead]
) -> tuple[tuple[PacketVerdict, ...], tuple[reply.LaneHead, ...], bool]:
    """Verdicts, chains as they stand here (``known``), and whether the device may go."""
    verdicts = [_verdict(tx, checkpoint.device_id, packet) for packet in packets if packet.header is not None]
    present = {state.lane: state.epoch for state in checkpoint.lanes}
    # A device counts what waits in a lane, whichever chain of the lane it is in.
    answered = Counter(said.lane for said in verdicts if said.verdict.in_custody or _is_stuck(said, present, known))
    unreadable = sum(packet.header is None for packet in packets)
    heads, may_go = [], True
    for state in checkpoint.lanes:
        key = LaneKey(checkpoint.device_id, state.lane, state.epoch)
        head = known.get(key)
        if head is None:
            continue  # begun after the move: nothing of it is here
        heads.append(custody.told(key, head))
        # What waits there is the end of its chain. Whatever of that lies below our head, only we can answer for; unless
        # it has been shown, and is not here.
        never_here = max(0, state.next_seq - head.next_seq)
        may_go &= state.depth - answered[state.lane] - unreadable <= never_here
    return tuple(verdicts), tuple(heads), may_go


def _is_stuck(said: PacketVerdict, present: Mapping[Lane, bytes], known: Mapping[LaneKey, LaneHead]) -> bool:
    """Whether a packet that is not here says a place we are past: spoilt there, or of a chain that has ended."""
    if said.verdict is not Verdict.RETRY_LATER or said.lane not in present:
        return False
    return said.epoch != present[said.lane] or any(
        key.lane is said.lane and key.epoch == said.epoch and said.seq < head.next_seq for key, head in known.items()
    )


def _verdict(tx: Transaction, device_id: str, packet: Checked) -> PacketVerdict:
    header = packet.header
    assert header is not None
    spot = Place(LaneKey(device_id, header.lane, header.epoch), header.seq)
    before = custody.stored(tx, spot, packet.digest)
    if before is None:
        said, reason = Verdict.RETRY_LATER, OTHER_CLUSTER
    elif before.held_because is None:
        said, reason = Verdict.DUPLICATE, None
    else:
        said, reason = Verdict.QUARANTINED, before.held_because
    return PacketVerdict(
        lane=header.lane,
        epoch=header.epoch,
        seq=header.seq,
        digest=packet.digest,
        verdict=said,
        reason=reason,
        receipt_no=None if before is None else custody.receipt_name(before.receipt_no),
        stored_at=None if before is None else from_ms(before.stored_at_ms),
    )


def move_to(url: str, nonce: bytes) -> Command:
    """The command to go there, an order of its own with every receipt; ``nonce`` is of the checkpoint that it answers.

    With one id for all of them a device would obey once, and never again after an older order, late on a stick, has
    brought it back. Going where it is already costs a device nothing.
    """
    command_id = hashlib.sha256(b"move\0" + nonce).digest()[:COMMAND_ID_BYTES]
    return wire.make(command_id, wire.Move(url=url))
