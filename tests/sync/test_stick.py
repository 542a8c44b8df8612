"""Files on a stick: what they are made of, and what becomes of spoilt, foreign and half-written ones."""

import contextlib
import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import stick_folder
from sync.errors import (
    Refusal,
    StickFaultyError,
    StickFileError,
    StickFullError,
    StickGoneError,
    StickMissingError,
    StickReadOnlyError,
)
from sync.stick import HEADER, FileName, Kind, unwrap, wrap
from sync.stick_folder import PASSING, StickFolder

NAME = FileName("D-0000UJI00001", 7, bytes(range(16)), Kind.BATCH)
WORKED_EXAMPLE = (
    "4d504f535449434b0101000000000003ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad616263"
)
"""Three bytes "abc" as a batch: the digest is that of FIPS 180-2, appendix B.1."""


def refused(data: bytes, kind: Kind = Kind.BATCH) -> Refusal:
    """For which reason the bytes are no file of that kind."""
    with pytest.raises(StickFileError) as caught:
        unwrap(data, kind)
    return caught.value.refusal


def test_the_worked_example_of_the_document() -> None:
    """Header and body byte for byte as docs/stick.md shows them."""
    assert wrap(Kind.BATCH, b"abc").hex() == WORKED_EXAMPLE
    assert unwrap(bytes.fromhex(WORKED_EXAMPLE), Kind.BATCH) == b"abc"
    assert WORKED_EXAMPLE in re.sub(r"\s", "", (Path(__file__).parents[2] / "docs" / "stick.md").read_text())


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_wrapped_comes_out_again(kind: Kind, length: int) -> None:
    """Lengths at which a count gets longer."""
    body = os.urandom(length)
    assert unwrap(wrap(kind, body), kind) == body


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 12, 47, 48, 49, 50])
def test_a_file_cut_off_anywhere_is_truncated(cut: int) -> None:
    """A stick pulled out too early, at every place where it matters."""
    assert refused(wrap(Kind.BATCH, b"abc")[:cut]) is Refusal.TRUNCATED


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0x4E, Refusal.UNKNOWN_TYPE),
        (8, 2, Refusal.UNKNOWN_VERSION),
        (9, 2, Refusal.UNKNOWN_TYPE),
        (9, 9, Refusal.UNKNOWN_TYPE),
        (10, 1, Refusal.BAD_VALUE),
        (12, 0x7F, Refusal.TOO_LONG),
        (15, 2, Refusal.TRAILING_BYTES),
        (15, 4, Refusal.TRUNCATED),
        (16, 0, Refusal.CONTRADICTION),
        (48, 0, Refusal.CONTRADICTION),
        (50, 0, Refusal.CONTRADICTION),
    ],
)
def test_a_changed_byte_has_its_own_reason(at: int, value: int, reason: Refusal) -> None:
    """Another file, a later version, a wrong length and a spoilt byte are told apart."""
    data = bytearray(wrap(Kind.BATCH, b"abc"))
    data[at] = value
    assert refused(bytes(data)) is reason


def test_a_file_larger_than_a_batch_is_refused_unread() -> None:
    """The announced length counts, before anything is parsed."""
    with pytest.raises(StickFileError):
        wrap(Kind.RECEIPT, bytes(Kind.RECEIPT.most_bytes + 1))
    header = HEADER.pack(b"MPOSTICK", 1, Kind.RECEIPT, 0, Kind.RECEIPT.most_bytes + 1, bytes(32))
    assert refused(header, Kind.RECEIPT) is Refusal.TOO_LONG


@given(st.binary(max_size=200), st.sampled_from(Kind))
def test_foreign_bytes_are_refused_by_name_and_by_nothing_else(data: bytes, kind: Kind) -> None:
    """Whatever lies on a stick, the parser gives a body or one of its reasons."""
    for candidate in (data, b"MPOSTICK\x01" + data, wrap(kind, data) + b"x", wrap(kind, data)[:-1]):
        with contextlib.suppress(StickFileError):
            assert len(unwrap(candidate, kind)) <= len(candidate)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_name_says_device_number_and_nonce_and_nothing_of_a_person(kind: Kind) -> None:
    """It is read back the same, also from a stick that shouts."""
    name = FileName("D-0000UJI00001", 7, bytes(range(16)), kind)
    assert FileName.parse(str(name)) == name
    assert FileName.parse(str(name).upper()) == name
    assert re.fullmatch(r"mpos-[A-Za-z0-9.-]+-\d{6}-[0-9a-f]{32}\.mpos(batch|receipt)", str(name))


@pytest.mark.parametrize("name", ["", "foto.jpg", "mpos-x.mposbatch", "System Volume Information", f"{NAME}.bak"])
def test_other_names_are_not_ours(name: str) -> None:
    """They are counted and never opened."""
    assert FileName.parse(name) is None


def test_a_stick_with_all_kinds_of_things_on_it(tmp_path: Path) -> None:
    """Ours are listed in the order of their export; folders, links, other files and half files are not touched."""
    folder = StickFolder(tmp_path)
    second = FileName(NAME.device_id, 8, bytes(16), Kind.BATCH)
    assert folder.write(second, b"second")
    assert folder.write(NAME, b"first")
    (tmp_path / "foto.jpg").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / str(NAME.answered())).symlink_to(tmp_path / "foto.jpg")
    (tmp_path / f"{NAME.answered()}{PASSING}").write_bytes(b"half")
    listing = folder.look()
    assert [name for name, _ in listing.files] == [NAME, second]
    assert (listing.foreign, listing.unfinished, listing.more) == (3, 1, False)
    folder.sweep()
    assert folder.look().unfinished == 0
    assert (tmp_path / "foto.jpg").exists()


def test_a_file_is_written_once_and_a_spoilt_one_again(tmp_path: Path) -> None:
    """A whole file is left as it is; a spoilt one of the same name makes room."""
    folder = StickFolder(tmp_path)
    assert folder.write(NAME, b"claim")
    assert not folder.write(NAME, b"claim")
    (tmp_path / str(NAME)).write_bytes(wrap(Kind.BATCH, b"claim")[:-1])
    assert folder.write(NAME, b"claim")
    assert folder.read(str(NAME), Kind.BATCH) == b"claim"


def test_more_files_than_one_go_takes_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, and nobody believes that everything was taken."""
    monkeypatch.setattr(stick_folder, "MOST_FILES", 3)
    folder = StickFolder(tmp_path)
    for number in range(4):
        folder.write(FileName("D", number, os.urandom(16), Kind.BATCH), b"x")
    listing = folder.look()
    assert (len(listing.files), listing.more) == (3, True)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, StickFullError),
        (errno.EROFS, StickReadOnlyError),
        (errno.EACCES, StickReadOnlyError),
        (errno.EIO, StickGoneError),
        (errno.ENODEV, StickGoneError),
    ],
)
def test_a_failing_stick_is_told_by_cause_and_keeps_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    """Full, locked, pulled out: each in its own words, with nothing left under a name of ours."""

    def fail(_handle: int) -> None:
        raise OSError(code, os.strerror(code))

    folder = StickFolder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        folder.write(NAME, b"claim")
    assert list(tmp_path.iterdir()) == []


def test_a_stick_that_gives_other_bytes_back_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged capacity: writing succeeds, reading does not give it back."""
    monkeypatch.setattr(stick_folder, "_read_back", lambda _path: b"something else")
    with pytest.raises(StickFaultyError):
        StickFolder(tmp_path).write(NAME, b"claim")


def test_nothing_is_written_where_the_stick_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stick is pulled out, the folder it was mounted on is the machine's own disk."""
    folder = StickFolder(tmp_path)
    monkeypatch.setattr(folder, "_device", -1)
    with pytest.raises(StickGoneError):
        folder.write(NAME, b"claim")
    assert list(tmp_path.iterdir()) == []


def test_no_such_folder_says_missing(tmp_path: Path) -> None:
    """A wrong name, and a file in place of a folder."""
    with pytest.raises(StickMissingError):
        StickFolder(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(StickMissingError):
        StickFolder(tmp_path / "file")


def test_the_name_appears_only_after_the_bytes_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then name, then folder: a power cut between any two leaves a whole file or none."""
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def flushed(handle: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        order.append("name")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    StickFolder(tmp_path).write(NAME, b"claim")
    assert order == ["file", "name", "folder"]
