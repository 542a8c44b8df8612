"""Places of a chain that a device delivered and head office has no longer: it was restored from an earlier backup.

The device says so itself, under its signature: it waits for fewer receipts than packets are missing here, or shows a
packet behind a gap. Then, in the transaction of that batch, an alarm names the places, and the device is asked to send
all of them again; what it still has comes back by itself. What it has purged does not, and the chain would wait for it
for ever. So two people may put on record that those places are gone, once the device has answered and has shown
where its own packets begin (``giving_up``). Only then, and over those places alone, does the chain go on with the next
authentic packet, whose signed ``prev_hash`` says what stood before it.

Nothing is closed by that. Until the chain goes on a missing packet is taken as if nothing had been said; afterwards by
its digest, as its successor names it: from a stick, from a disk that was found again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from head_office import commands
from head_office.commands import CommandState
from head_office.custody import Alarm, LaneKey, Place, alarm
from head_office.ledger.base import Row, Transaction
from sync.checkpoint import Checkpoint, LaneState
from sync.commands import RESEND_AT_MOST, Resend
from sync.envelope import Lane

PROGRAM = "program"
ASK_AFRESH_MS = 24 * 3_600_000
"""While people have not acted the device is asked once a day: an answer may be one of before another restore."""
MOST_GONE = 20_000
"""Places that can be declared gone together: no device seals so many between two backups, and each becomes a row."""
NOT_HERE_ANY_MORE = "purged"
"""The device's reason for sending none of the places again: the one refusal that answers the question."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A chain of which the device has delivered more than is here, as one batch shows it."""

    waits_for: int
    """Where the chain stands here."""
    delivered: int
    """So many of its places the device no longer waits for, by its own count; below ``waits_for``: no word of it."""
    begins: int | None
    """The lowest place the device still has, where the batch shows it."""
    is_counted: bool
    """Whether the device counts what waits with this chain: the one of its lane that grows."""
    unreadable: int
    """Packets of the batch that may be of this chain or of another, and are counted as waiting."""


def chains_behind(
    states: tuple[LaneState, ...],
    waits_for: Mapping[tuple[Lane, bytes], int],
    gaps: Mapping[tuple[Lane, bytes], int],
    left: Sequence[tuple[Lane, bytes] | None] = (),
) -> dict[tuple[Lane, bytes], Behind]:
    """Which of the announced chains have come further on the device than here.

    ``waits_for`` has where each stands here, ``gaps`` the lowest packet that was shown behind a gap. ``left`` is the
    chain of each packet of the batch that stays on the device; None where nobody can tell.
    """
    growing = {state.lane: state for state in states}  # the last one of each lane
    found = {}
    for state in states:
        chain = (state.lane, state.epoch)
        here, gap = waits_for.get(chain), gaps.get(chain)
        if here is None:
            continue
        # What waits is counted with the chain that grows, whichever chain of the lane it is in. A rotten packet of one
        # that ended may wait there for ever.
        counted = growing[state.lane] is state
        others = sum(one is not None and one[0] is state.lane and one != chain for one in left)
        waiting = max(0, state.depth - others)
        delivered = state.next_seq - 1 - waiting if counted else 0
        begins = state.next_seq if counted and waiting == 0 else gap
        if delivered >= here or gap is not None:
            found[chain] = Behind(here, delivered, begins, counted, left.count(None))
    return found


def notice(
    tx: Transaction,
    checkpoint: Checkpoint,
    behind: Mapping[tuple[Lane, bytes], Behind],
    now_ms: int,
    *,
    carried: bool,
) -> None:
    """Take in what a batch says of missing places, in its transaction and behind its commands.

    ``carried``: it came as a file. Files may come in another order than they were written, so that a gap in one of
    them says nothing.
    """
    _note_answers(tx, checkpoint)
    ends = {(state.lane, state.epoch): state for state in checkpoint.lanes}
    for chain, one in behind.items():
        key = LaneKey(checkpoint.device_id, *chain)
        begins = one.begins
        # A packet may stand behind what its own checkpoint says: whoever signs both can contradict himself.
        end = max(ends[chain].next_seq, begins or 0) - 1
        first, row = _not_declared(tx.execute, key, one.waits_for)
        if row is None:
            last = max(one.delivered, 0 if carried or begins is None else begins - 1)
            if last >= first:
                _begin(tx, Place(key, first), last, end, now_ms)
            continue
        if row["resend_id"] is None or (not carried and _is_stale(row, now_ms)):
            # It came from another cluster, and may never have heard what it was asked there; or nobody has acted.
            ask_again(tx, row, first, now_ms)
            continue
        if begins is None or begins <= first or _question(tx.execute, row) is not CommandState.DONE:
            continue
        # Where the signed count says that it has lower ones, they were left out on the way. Of a chain that ended
        # there is no count, and files are not in order.
        lowest = begins <= one.delivered + 1 + one.unreadable if one.is_counted else not carried
        if not lowest:
            continue
        if _is_behindanswer(row, checkpoint):
            _shown(tx, row, begins - 1, end, now_ms)
        elif not carried and row["shown_at"] is None:
            # It answered before it started anew, or the answer is one of before a restore: nobody can tell any more.
            ask_again(tx, row, first, now_ms)


def is_known(read: commands.Read, key: LaneKey, one: Behind, now_ms: int) -> bool:
    """Whether there is nothing to write for a chain at an idle poll: noticed, and waiting for the device or for people.

    Not so where the device has answered, and not yet shown where its packets begin; nor where it was never asked here.
    """
    first, row = _not_declared(read, key, one.waits_for)
    if row is None:
        return one.delivered < first
    if row["resend_id"] is None or _is_stale(row, now_ms):
        return False
    return row["shown_at"] is not None or _question(read, row) is not CommandState.DONE


def _is_stale(row: Row, now_ms: int) -> bool:
    return row["asked_by"] is None and row["shown_at"] is not None and now_ms - row["shown_at"] >= ASK_AFRESH_MS


def are_gone(tx: Transaction, key: LaneKey, first: int, last: int) -> bool:
    """Whether two people have put on record that all these places are gone."""
    return _not_declared(tx.execute, key, first)[0] > last


def went_on(tx: Transaction, key: LaneKey, first: int, successor: int, *, receipt_no: int, now_ms: int) -> None:
    """The chain goes on with the packet at ``successor``, the places from ``first`` up to it being gone."""
    tx.execute(
        "UPDATE missing_places SET went_on_at = ?, went_on_with = ? WHERE device_id = ? AND lane = ? AND epoch = ?"
        " AND first_seq < ? AND last_seq >= ? AND confirmed_at IS NOT NULL",
        (now_ms, receipt_no, key.device_id, key.lane, key.epoch, successor, first),
    )


def _not_declared(read: commands.Read, key: LaneKey, waits_for: int) -> tuple[int, Row | None]:
    """The first place from ``waits_for`` on that was not declared gone, and what is known to be missing from there."""
    rows = read(
        "SELECT * FROM missing_places WHERE device_id = ? AND lane = ? AND epoch = ? AND last_seq >= ?"
        " ORDER BY first_seq, missing_no",
        (key.device_id, key.lane, key.epoch, waits_for),
    )
    first = waits_for
    for row in rows:
        if row["confirmed_at"] is not None and row["first_seq"] <= first <= row["last_seq"]:
            first = row["last_seq"] + 1
    known = [row for row in rows if row["confirmed_at"] is None and row["last_seq"] >= first]
    return first, known[-1] if known else None


def _begin(tx: Transaction, place: Place, last: int, end: int, now_ms: int) -> None:
    """Missing from ``place`` to ``last``; ``end`` is the last place of the chain."""
    key, first = place.key, place.seq
    asked_up_to = min(end, first + RESEND_AT_MOST - 1)
    question = _ask_device(tx, place, asked_up_to, now_ms)
    tx.execute(
        "INSERT INTO missing_places (device_id, lane, epoch, first_seq, last_seq, noticed_at, resend_id, asked_up_to)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key.device_id, key.lane, key.epoch, first, last, now_ms, question, asked_up_to),
    )
    alarm(tx, Alarm.PLACES_MISSING, place, now_ms, last_seq=last)


def _ask_device(tx: Transaction, first: Place, last: int, now_ms: int, by: str = PROGRAM) -> bytes:
    key = first.key
    body = Resend(lane=key.lane, epoch=key.epoch, first_seq=first.seq, last_seq=last)
    return commands.queue(tx, key.device_id, body, now_ms=now_ms, by=by)


def ask_again(
    tx: Transaction, row: Row, first: int, now_ms: int, *, up_to: int | None = None, by: str = PROGRAM
) -> None:
    """A question of its own, from ``first`` to ``up_to`` or as far as was asked before; what was answered is void."""
    key = LaneKey(row["device_id"], Lane(row["lane"]), bytes(row["epoch"]))
    last = min(up_to or max(row["last_seq"], row["asked_up_to"]), first + RESEND_AT_MOST - 1)
    tx.execute(
        "UPDATE missing_places SET resend_id = ?, asked_up_to = ?, shown_at = NULL, answered_boot = NULL,"
        " answered_ns = NULL WHERE missing_no = ?",
        (_ask_device(tx, Place(key, first), last, now_ms, by), last, row["missing_no"]),
    )


def _note_answers(tx: Transaction, checkpoint: Checkpoint) -> None:
    """The device has carried out what it names: from this moment of this boot on its word on missing places counts."""
    for told in (*checkpoint.commands_done, *(refused.id for refused in checkpoint.commands_refused)):
        tx.execute(
            "UPDATE missing_places SET answered_boot = ?, answered_ns = ? WHERE device_id = ? AND resend_id = ?",
            (checkpoint.boot_id, checkpoint.monotonic_ns, checkpoint.device_id, told),
        )


def _is_behindanswer(row: Row, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint was made after the device carried our question out. One of before that tells nothing."""
    answered = row["answered_boot"]
    return (
        answered is not None
        and bytes(answered) == checkpoint.boot_id
        and checkpoint.monotonic_ns >= int(row["answered_ns"])
    )


def _shown(tx: Transaction, row: Row, last: int, end: int, now_ms: int) -> None:
    """The device has answered, and its packets begin behind ``last``."""
    if last != row["last_seq"]:
        # Whoever asked had other places before his eyes.
        tx.execute(
            "UPDATE missing_places SET last_seq = ?, shown_at = NULL, asked_by = NULL, asked_at = NULL, reason = NULL"
            " WHERE missing_no = ?",
            (last, row["missing_no"]),
        )
    if last > row["asked_up_to"]:
        if row["asked_up_to"] - row["first_seq"] >= MOST_GONE:
            return  # Whatever it is, it is no restored backup; nobody asks for billions in steps of thousands.
        # More than one command may name; what lies behind it could still be here.
        ask_again(tx, row, row["asked_up_to"] + 1, now_ms, up_to=end)
    elif row["shown_at"] is None or last != row["last_seq"]:
        tx.execute("UPDATE missing_places SET shown_at = ? WHERE missing_no = ?", (now_ms, row["missing_no"]))


def _question(read: commands.Read, row: Row) -> CommandState | None:
    """What became of the command to send again: DONE where the device answered it, None where it answers no more."""
    found = read("SELECT state, reason FROM commands WHERE command_id = ?", (row["resend_id"],))
    return answer(found[0]["state"], found[0]["reason"]) if found else None


def answer(state: str | None, reason: str | None) -> CommandState | None:
    """What a device's word on our question comes to; None where it answers it no more."""
    if state == CommandState.REFUSED:
        return CommandState.DONE if reason == NOT_HERE_ANY_MORE else None
    return None if state is None else CommandState(state)
