"""New work is refused before the disk is full; what is begun can be finished."""

from pathlib import Path

import pytest

from sync.checkpoint import StorageMark
from sync.edge.database import Database
from sync.edge.marks import Marks, RoomWatch, mark_of
from sync.edge.reserve import Reserve

MARKS = Marks(
    warn_free=1000,
    stop_documents_free=500,
    stop_claims_free=100,
    warn_queue=10_000,
    stop_documents_queue=50_000,
    stop_claims_queue=100_000,
)


@pytest.mark.parametrize(
    ("free", "queue", "mark"),
    [
        (1000, 10_000, StorageMark.OK),
        (999, 0, StorageMark.WARN),
        (5000, 10_001, StorageMark.WARN),
        (499, 0, StorageMark.STOP_DOCUMENTS),
        (5000, 50_001, StorageMark.STOP_DOCUMENTS),
        (99, 0, StorageMark.STOP_CLAIMS),
        (5000, 100_001, StorageMark.STOP_CLAIMS),
        (99, 100_001, StorageMark.STOP_CLAIMS),
    ],
)
def test_each_mark_is_reached_by_the_disk_or_by_the_queue(free: int, queue: int, mark: StorageMark) -> None:
    """Whichever comes first."""
    assert mark_of(MARKS, free, queue, reserve=True) is mark


def test_without_its_reserve_a_device_takes_no_new_claim(tmp_path: Path) -> None:
    """Until the reserve can be made again; then it goes on by itself."""
    reserve = Reserve(tmp_path / "reserve", 64 * 1024)
    with Database(tmp_path / "agent.db", reserve=reserve) as database:
        watch = RoomWatch(database, reserve, MARKS, free_bytes=lambda: 10**9)
        assert (watch.now().takes_claims, watch.now().reserve) == (watch.now().queue_bytes <= 100_000, True)
        reserve.let_go()
        room = watch.now()
        assert (room.mark, room.takes_claims, room.takes_documents) == (StorageMark.STOP_CLAIMS, False, False)
        watch.tend()
        assert watch.now().reserve


def test_scans_stop_before_claims(tmp_path: Path) -> None:
    """A claim without its scans can be paid later; scans without a claim are nothing."""
    reserve = Reserve(tmp_path / "reserve", 4096)
    with Database(tmp_path / "agent.db", reserve=reserve) as database:
        room = RoomWatch(database, reserve, MARKS, free_bytes=lambda: 300).now()
        assert (room.takes_claims, room.takes_documents) == (True, False)
        assert room.queue_bytes == sum(
            (tmp_path / name).stat().st_size for name in ("agent.db", "agent.db-wal") if (tmp_path / name).exists()
        )
