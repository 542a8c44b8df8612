"""What a scanned file is, told from its content: PDF, JPEG or PNG, how many pages, whole or damaged; pure.

Of pictures only the picture is kept. A telephone's photograph also carries where it was taken, with which device
and sometimes a film of the seconds before: nothing a claim needs. It is cut out without touching a pixel; only the
way up stays. What a PDF carries beside its pages cannot be cut out safely: one that could run something, or brings
other files along, is refused with the cure.
"""

from dataclasses import dataclass, field

from mpos_agent.claim import scanned_jpeg, scanned_pdf, scanned_png
from mpos_agent.claim.findings import Block
from sync.document_part import MediaType

MOST_PIXELS = 100_000_000
"""An A3 page at 600 dpi has 70 million; more unfolds into gigabytes at whoever opens it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One file as it may travel."""

    media_type: MediaType
    pages: int | None
    """None where a PDF does not tell: then a person says it."""
    content: bytes = field(repr=False)


def read_scan(content: bytes) -> Scan | Block:
    """Look at a file; a Block says what is wrong with it, in words a person can act on."""
    if not content:
        return Block.DOCUMENT_EMPTY
    if content.startswith(scanned_jpeg.START):
        return _picture(MediaType.JPEG, scanned_jpeg.picture_of(content))
    if content.startswith(scanned_png.START):
        return _picture(MediaType.PNG, scanned_png.picture_of(content))
    if scanned_pdf.begins(content):
        trouble = scanned_pdf.trouble(content)
        if trouble is not None:
            return trouble
        return Scan(media_type=MediaType.PDF, pages=scanned_pdf.page_count(content), content=content)
    return Block.DOCUMENT_KIND


def _picture(media_type: MediaType, found: tuple[int, bytes] | None) -> Scan | Block:
    if found is None:
        return Block.DOCUMENT_DAMAGED
    pixels, content = found
    if pixels > MOST_PIXELS:
        return Block.DOCUMENT_TOO_LARGE
    return Scan(media_type=media_type, pages=1, content=content)
