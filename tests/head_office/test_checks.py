"""Every situation a packet can be in towards its lane, and what each is called."""

import pytest

from head_office.checks import LaneHead, Placement, StandIn, place

HEAD = LaneHead(5, b"h" * 32)
DIGEST = b"d" * 32
FROZEN = LaneHead(5, b"h" * 32, frozen="fork")


@pytest.mark.parametrize(
    ("head", "seq", "prev_hash", "here", "expected"),
    [
        (HEAD, 5, b"h" * 32, False, Placement.NEXT),
        (HEAD, 5, b"x" * 32, False, Placement.CHAIN_BROKEN),
        (HEAD, 6, b"h" * 32, False, Placement.GAP),
        (HEAD, 2**63 - 1, b"h" * 32, False, Placement.GAP),
        (HEAD, 4, b"h" * 32, True, Placement.DUPLICATE),
        (HEAD, 4, b"h" * 32, False, Placement.FORK),
        (HEAD, 1, b"x" * 32, False, Placement.FORK),
        (HEAD, 5, b"x" * 32, True, Placement.DUPLICATE),
        (FROZEN, 5, b"h" * 32, False, Placement.LANE_FROZEN),
        (FROZEN, 4, b"h" * 32, True, Placement.DUPLICATE),
        (FROZEN, 9, b"h" * 32, False, Placement.LANE_FROZEN),
        (None, 1, bytes(32), False, Placement.EPOCH_UNKNOWN),
        (None, 1, bytes(32), True, Placement.EPOCH_UNKNOWN),
    ],
)
def test_a_packets_place(head: LaneHead | None, seq: int, prev_hash: bytes, here: bool, expected: Placement) -> None:
    """One comparison with the head decides, whatever the clocks say."""
    placement = place(
        seq=seq, prev_hash=prev_hash, digest=DIGEST, head=head, already_here=lambda: here, stand_in=lambda: None
    )
    assert placement is expected


@pytest.mark.parametrize(
    ("head", "stands_in", "expected"),
    [
        (HEAD, StandIn(DIGEST), Placement.LATE),
        (HEAD, StandIn(b"e" * 32), Placement.FORK),
        (HEAD, StandIn(None), Placement.SUCCESSOR_FIRST),
        (FROZEN, StandIn(DIGEST), Placement.LATE),
        (FROZEN, StandIn(b"e" * 32), Placement.LANE_FROZEN),
        (FROZEN, StandIn(None), Placement.LANE_FROZEN),
    ],
)
def test_a_packet_whose_place_holds_spoilt_bytes(head: LaneHead, stands_in: StandIn, expected: Placement) -> None:
    """What its authentic successor names belongs there; anything else does not."""
    placement = place(
        seq=4, prev_hash=b"x" * 32, digest=DIGEST, head=head, already_here=lambda: False, stand_in=lambda: stands_in
    )
    assert placement is expected


def test_the_next_packet_costs_no_search() -> None:
    """The ordinary case asks the ledger nothing more than its head."""

    def search() -> bool:
        raise AssertionError("looked for a packet that is simply the next one")

    def stand_in() -> StandIn:
        raise AssertionError("looked for spoilt bytes in a place that is free")

    placement = place(seq=5, prev_hash=b"h" * 32, digest=DIGEST, head=HEAD, already_here=search, stand_in=stand_in)
    assert placement is Placement.NEXT
