"""The recorder itself: what it reads from a trace, and what it lets a power cut do to a disk."""

from pathlib import Path
from random import Random

import pytest

from bench.faults.file_recorder import CUTS, SECTOR, Disk, Flush, Mark, Remove, Truncate, Write, read_trace

TRACE = (
    '7 writev(9</t/marks>, [{iov_base="\\x50\\x20\\x30\\x31\\x0a", iov_len=5}], 1) = 5\n'
    '7 pwrite64(3</t/live/agent.db-wal>, "\\x01\\x02\\x03", 3, 40) = 3\n'
    '7 pwrite64(3</t/live/agent.db-wal>, "\\x01\\x02\\x03", 3, 43) = 2\n'
    "7 fdatasync(3</t/live/agent.db-wal>) = 0\n"
    "7 ftruncate(4</t/live/agent.db>, 8192) = 0\n"
    '7 pwrite64(5</elsewhere>, "\\x01", 1, 0) = 1\n'
    '7 pwrite64(3</t/live/agent.db-wal>, "\\x01", 1, 0) = -1 ENOSPC (No space left on device)\n'
    f'7 unlink("{"".join(f"{chr(92)}x{byte:02x}" for byte in b"/t/live/agent.db-wal")}") = 0\n'
)


def test_a_trace_is_read_step_by_step(tmp_path: Path) -> None:
    """Short writes count as far as they went, failed ones and other files not at all."""
    trace = tmp_path / "trace"
    trace.write_text(TRACE)
    assert read_trace(trace, Path("/t/live"), Path("/t/marks")) == [
        Mark("P 01"),
        Write("agent.db-wal", 40, b"\x01\x02\x03"),
        Write("agent.db-wal", 43, b"\x01\x02"),
        Flush("agent.db-wal"),
        Truncate("agent.db", 8192),
        Remove("agent.db-wal"),
    ]


def test_a_trace_of_threads_is_refused(tmp_path: Path) -> None:
    """Calls that overlap have no order, and a record of them would prove nothing."""
    trace = tmp_path / "trace"
    trace.write_text('7 pwrite64(3</t/live/agent.db>, "\\x01", 1, 0 <unfinished ...>\n')
    with pytest.raises(ValueError, match="threads"):
        read_trace(trace, Path("/t/live"), Path("/t/marks"))


def test_what_was_flushed_survives_every_cut() -> None:
    """Of the rest anything may: nothing, a part, another order."""
    disk = Disk({})
    for step in (Write("f", 0, b"A" * 4096), Flush("f"), Write("f", 4096, b"B" * 4096), Write("f", 8192, b"C" * 4096)):
        disk.take(step)
    left = [bytes(disk.after_cut(how, Random(draw))["f"]) for how in CUTS for draw in range(8)]
    assert all(one.startswith(b"A" * 4096) for one in left)
    assert b"A" * 4096 in left
    assert disk.as_written()["f"] == b"A" * 4096 + b"B" * 4096 + b"C" * 4096
    assert any(b"C" in one and b"B" not in one for one in left)
    torn = [one for one in left if 0 < one.count(b"C") < 4096]
    assert torn
    assert all(one.count(b"C") % SECTOR == 0 for one in torn)


def test_a_flush_of_one_file_says_nothing_of_another() -> None:
    """The log is flushed; the database beside it is not."""
    disk = Disk({})
    for step in (Write("a", 0, b"1"), Write("b", 0, b"2"), Flush("a")):
        disk.take(step)
    assert disk.after_cut("only what was flushed", Random(1)) == {"a": b"1"}
