"""What one batch says of chains that have come further on the device than at head office."""

from head_office.missing import Behind, chains_behind
from sync.checkpoint import LaneState
from sync.envelope import Lane

ENDED, GROWING = (Lane.CORE, bytes(16)), (Lane.CORE, bytes(15) + b"\x01")


def states(depth: int) -> tuple[LaneState, ...]:
    """Two packets were made in each chain; ``depth`` of both wait, and are counted with the one that grows."""
    return tuple(
        LaneState(lane=lane, epoch=epoch, next_seq=3, head_hash=bytes(31) + b"\x07", depth=waits, oldest_age_s=0)
        for (lane, epoch), waits in ((ENDED, 0), (GROWING, depth))
    )


def test_what_waits_in_a_chain_that_ended_is_not_counted_against_the_one_that_grows() -> None:
    """The one packet that waits is shown to be the other chain's: nothing of the growing one is on the device."""
    waits_for = {ENDED: 3, GROWING: 1}
    assert chains_behind(states(1), waits_for, {}, [ENDED]) == {GROWING: Behind(1, 2, 3, True, 0)}
    assert chains_behind(states(1), waits_for, {}, []) == {GROWING: Behind(1, 1, None, True, 0)}


def test_bytes_nobody_can_place_may_be_of_any_chain() -> None:
    """They are counted as waiting, and only make the count less sure."""
    assert chains_behind(states(1), {GROWING: 1}, {GROWING: 2}, [None]) == {GROWING: Behind(1, 1, 2, True, 1)}


def test_a_chain_that_ended_says_nothing_without_a_gap() -> None:
    """Its own count is not told; the first packet behind a gap is its lowest."""
    assert chains_behind(states(1), {ENDED: 1, GROWING: 3}, {}, [ENDED]) == {}
    assert chains_behind(states(1), {ENDED: 1, GROWING: 3}, {ENDED: 2}, [ENDED]) == {ENDED: Behind(1, 0, 2, False, 0)}
