"""What a scanned file is: told from its content, with a cure for each thing that is wrong with it."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpos_agent.claim.findings import Block
from mpos_agent.claim.scanned import Scan, read_scan
from sync.document_part import MediaType
from tests.claim.scans import GPS, chunk, exif, jpeg, pdf, png, segment


def taken(content: bytes) -> Scan:
    scan = read_scan(content)
    assert isinstance(scan, Scan), scan
    return scan


@pytest.mark.parametrize(
    ("content", "media_type", "pages"),
    [
        (pdf(3), MediaType.PDF, 3),
        (pdf(7, packed=True), MediaType.PDF, 7),
        (jpeg(), MediaType.JPEG, 1),
        (png(), MediaType.PNG, 1),
    ],
    ids=["pdf", "packed pdf", "jpeg", "png"],
)
def test_a_file_is_what_its_content_says(content: bytes, media_type: MediaType, pages: int) -> None:
    """Whatever it is called: kind and pages come from within."""
    scan = taken(content)
    assert (scan.media_type, scan.pages) == (media_type, pages)


@pytest.mark.parametrize(
    ("content", "block"),
    [
        (b"", Block.DOCUMENT_EMPTY),
        (b"PK\x03\x04 a letter.docx", Block.DOCUMENT_KIND),
        (b"\x00\x00\x00\x18ftypheic", Block.DOCUMENT_KIND),
        (b"GIF89a", Block.DOCUMENT_KIND),
        (jpeg()[:-400], Block.DOCUMENT_DAMAGED),
        (jpeg()[:300], Block.DOCUMENT_DAMAGED),
        (b"\xff\xd8\xff\xd9", Block.DOCUMENT_DAMAGED),
        (png()[:-20], Block.DOCUMENT_DAMAGED),
        (png()[:60] + bytes([png()[60] ^ 1]) + png()[61:], Block.DOCUMENT_DAMAGED),
        (pdf()[:-30], Block.DOCUMENT_DAMAGED),
        (pdf(trailer=b"/Encrypt 8 0 R"), Block.DOCUMENT_LOCKED),
        (pdf(more=b"/OpenAction << /S /JavaScript /JS (app.alert(1)) >>"), Block.DOCUMENT_ACTIVE),
        (pdf(more=b"/OpenAction << /S /J#61vaScript /JS (1) >>"), Block.DOCUMENT_ACTIVE),
        (pdf(more=b"/AA << /S /Launch >>", packed=True), Block.DOCUMENT_ACTIVE),
        (pdf(more=b"/Names << /EmbeddedFiles 6 0 R >>"), Block.DOCUMENT_ACTIVE),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
         + chunk(b"IDAT", b"x") + chunk(b"IEND", b""), Block.DOCUMENT_TOO_LARGE),
    ],
)  # fmt: skip
def test_a_file_that_would_not_help_is_refused_with_its_cause(content: bytes, block: Block) -> None:
    """Empty, of another kind, cut off, changed, locked, not passive, or a picture that unfolds without end."""
    assert read_scan(content) is block


def test_of_a_telephones_picture_only_the_picture_is_kept() -> None:
    """Position, device, comments and the film behind the picture are gone; not a pixel has changed."""
    photo = jpeg(motion=b"....ftypmp4 film of the seconds before" + GPS)
    kept = taken(photo).content
    assert GPS in photo
    assert GPS not in kept
    assert b"Exif" not in kept
    assert b"ftyp" not in kept
    assert np.array_equal(decoded(kept), decoded(photo))


@pytest.mark.parametrize("turned", [3, 6, 8])
def test_which_way_is_up_survives(turned: int) -> None:
    """A photograph held sideways is still shown upright at head office."""
    photo = jpeg(orientation=turned)
    kept = taken(photo).content
    assert GPS not in kept
    assert np.array_equal(shown(kept), shown(photo))
    assert not np.array_equal(shown(kept), decoded(kept))


def decoded(content: bytes) -> np.ndarray:
    """The pixels as they are stored."""
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))


def shown(content: bytes) -> np.ndarray:
    """The pixels as a viewer turns them."""
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))


def test_a_png_keeps_its_colours_and_loses_its_texts() -> None:
    """Text, time and Exif are cut out; gamma and resolution stay."""
    noted = png(
        extra=[chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tEXt", b"Author\x00" + GPS), chunk(b"eXIf", exif(6))]
    )
    kept = taken(noted + b"appended " + GPS).content
    assert GPS not in kept
    assert b"gAMA" in kept
    assert np.array_equal(decoded(kept), decoded(noted))


def test_pages_nobody_can_count_are_not_guessed() -> None:
    """Where the root cannot be followed, a person says how many."""
    assert taken(pdf().replace(b"/Type /Catalog", b"/Type /Katalog")).pages is None


def test_the_last_root_of_a_changed_pdf_counts() -> None:
    """A PDF that was added to holds its old structure, too."""
    old = pdf(2)
    new = b"2 0 obj\n<< /Type /Pages /Count 5 /Kids [] >>\nendobj\nstartxref\n9\n%%EOF\n"
    assert taken(old + new).pages == 5


def test_hostile_lengths_end_in_a_refusal() -> None:
    """Segments, chunks and object streams that announce what is not there, or the same bytes a million times."""
    assert read_scan(b"\xff\xd8" + segment(0xE0, b"JFIF\x00") + b"\xff\xe1\x00\x01") is Block.DOCUMENT_DAMAGED
    assert read_scan(b"\x89PNG\r\n\x1a\n" + b"\xff\xff\xff\xffIHDR") is Block.DOCUMENT_DAMAGED
    packed = b"5 0 obj\n<< /Type /ObjStm /N 900000 /First 8 >>\nstream\nxxxxxxxx\nendstream\nendobj\n"
    assert taken(pdf(1) + packed + b"startxref\n%%EOF").pages == 1


@given(st.data())
def test_any_file_is_taken_or_refused(data: st.DataObject) -> None:
    """Cut, changed or made up: never a crash, and what is taken once is taken again unchanged."""
    whole = data.draw(st.sampled_from(_WHOLE))
    at = data.draw(st.integers(0, len(whole)))
    changed = whole[:at] + data.draw(st.binary(max_size=8)) + whole[data.draw(st.integers(at, len(whole))) :]
    scan = read_scan(changed)
    if isinstance(scan, Scan):
        assert taken(scan.content).content == scan.content


_WHOLE = [pdf(2), pdf(2, packed=True), png(), jpeg(), jpeg(orientation=6)]
