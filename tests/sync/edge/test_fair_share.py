"""Claims go first, and scans still get through: an eighth of the bytes, however long claims wait."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sync.edge.fair_share import SHARE, FairShare


@dataclass(frozen=True)
class Packet:
    """All that matters of a packet here."""

    lane: str
    size: int


def queue(lane: str, *sizes: int) -> list[Packet]:
    return [Packet(lane, size) for size in sizes]


def sent(batch: list[Packet], lane: str) -> int:
    return sum(packet.size for packet in batch if packet.lane == lane)


def test_scans_get_their_eighth_while_claims_wait_without_end() -> None:
    """Over many batches, with scans larger than the share of one: neither more nor much less."""
    share, core, documents = FairShare(), queue("core", *[8_000] * 2_000), queue("documents", *[200_000] * 200)
    taken = {"core": 0, "documents": 0}
    for _ in range(100):
        batch = share.choose(core, documents, 128_000, 500)
        for lane, waiting in (("core", core), ("documents", documents)):
            count = sum(packet.lane == lane for packet in batch)
            del waiting[:count]
            taken[lane] += sent(batch, lane)
    assert core
    assert 0.8 / SHARE <= taken["documents"] / sum(taken.values()) <= 1.1 / SHARE


def test_a_scan_larger_than_the_batch_waits_its_turn_and_then_goes_alone() -> None:
    """On a slow line one part of a scan is more than a batch: it is not passed over for ever."""
    share, core, documents = FairShare(), queue("core", *[8_000] * 9), queue("documents", 260_000)
    batches = [share.choose(core, documents, 64_000, 500) for _ in range(60)]
    alone = [batch for batch in batches if batch == documents]
    assert alone
    assert all(sent(batch, "documents") == 0 for batch in batches if batch not in alone)


def test_what_claims_leave_over_is_for_scans() -> None:
    """With few claims a batch is filled up."""
    batch = FairShare().choose(queue("core", 8_000), queue("documents", *[30_000] * 9), 100_000, 500)
    assert [packet.lane for packet in batch] == ["core", "documents", "documents", "documents"]


def test_a_single_packet_that_tries_the_way_is_a_claim() -> None:
    """After a failure one packet is sent: never a scan while a claim waits."""
    share = FairShare()
    for _ in range(50):
        assert share.choose(queue("core", 8_000, 8_000), queue("documents", 10), 9_000, 1) == [Packet("core", 8_000)]


@given(
    core=st.lists(st.integers(1, 300_000), max_size=8),
    documents=st.lists(st.integers(1, 300_000), max_size=8),
    limit=st.integers(1, 1_000_000),
    most=st.integers(1, 10),
    saved=st.integers(0, 1_000_000),
)
def test_every_batch_keeps_within_its_bounds(
    core: list[int], documents: list[int], limit: int, most: int, saved: int
) -> None:
    """Never empty while something waits, never over the limit but for one packet alone, each lane from its start."""
    upper, lower = queue("core", *core), queue("documents", *documents)
    share = FairShare()
    share.saved = saved
    batch = share.choose(upper, lower, limit, most)
    assert bool(batch) == bool(upper or lower)
    assert len(batch) <= most
    assert len(batch) == 1 or sum(packet.size for packet in batch) <= limit
    cut = sum(packet.lane == "core" for packet in batch)
    assert batch == upper[:cut] + lower[: len(batch) - cut]
    assert share.saved >= 0
