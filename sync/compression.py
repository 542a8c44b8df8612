"""Zstandard (RFC 8878), bounded on the way back; the only importer of the library; pure.

Foreign bytes decide nothing here about memory: a frame says its length before it is read, that length is held
against the caller's limit, and what comes out is cut off there. A frame without its length is refused.
"""

import zstandard

from sync.errors import Refusal, WireError

LEVEL = 9
"""A claim of 8 kB takes 0.3 ms; higher levels gain under 2 %."""
LEAST_GAIN = 64
"""Fewer bytes saved are not worth a header that names them."""
MAX_WINDOW = 1 << 23
"""8 MB, which RFC 8878 section 3.1.1.1.2 tells every reader to support."""


def compressed(data: bytes) -> bytes | None:
    """One frame that carries its length; None where compression does not pay (pictures, short texts)."""
    squeezed = frame(data)
    return squeezed if len(squeezed) + LEAST_GAIN <= len(data) else None


def frame(data: bytes) -> bytes:
    """One frame that carries its length, whether it pays or not."""
    return zstandard.ZstdCompressor(level=LEVEL, write_content_size=True, write_checksum=False).compress(data)


def expanded(squeezed: bytes, most: int, refuse: type[WireError], path: str) -> bytes:
    """The inverse of :func:`compressed`, at most ``most`` bytes.

    Raises ``refuse``: NOT_EXPANDED when the frame is damaged, announces more than ``most`` bytes or no length at all,
    or is followed by something.
    """
    try:
        announced = zstandard.get_frame_parameters(squeezed)
        # The library gives 2**64-1 for "not announced".
        if announced.content_size > most:
            raise refuse(Refusal.NOT_EXPANDED, path, f"more than {most} bytes, or not said how many")
        # In one step: the library makes room for what was announced and not a byte more, whatever the frame does.
        data = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompress(squeezed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise refuse(Refusal.NOT_EXPANDED, path, "damaged, or something follows") from error
    if len(data) != announced.content_size:
        raise refuse(Refusal.NOT_EXPANDED, path, "not as long as announced")
    return data
