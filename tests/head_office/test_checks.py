"""Every situation a packet can be in towards its lane, and what each is called."""

import pytest

from head_office.checks import LaneHead, Placement, place

HEAD = LaneHead(5, b"h" * 32)
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
    assert place(seq=seq, prev_hash=prev_hash, head=head, already_here=lambda: here) is expected


def test_the_next_packet_costs_no_search() -> None:
    """The ordinary case asks the ledger nothing more than its head."""

    def search() -> bool:
        raise AssertionError("looked for a packet that is simply the next one")

    assert place(seq=5, prev_hash=b"h" * 32, head=HEAD, already_here=search) is Placement.NEXT
