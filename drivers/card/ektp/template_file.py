"""What the driver checks of a fingerprint template before handing it on: it is whole. Pure.

The content is the matcher's business; oddities of real cards (image 0 x 0, quality 254, all endings) are
no concern here. ISO/IEC 19794-2 record: magic, version, total length at offset 8, minutiae from 28.
"""

from dataclasses import dataclass

from drivers.card.errors import ChipDataError

MAGIC = b"FMR\x00"
VERSION_2005 = b" 20\x00"
EMPTY_RECORD = 30
"""Header (24), view header (4) and extended data length (2): a record with no minutiae."""
_COUNT_OFFSET = 27


@dataclass(frozen=True, slots=True)
class TemplateFinding:
    """``usable`` is False for a missing finger; ``warning`` is a stable word or empty."""

    usable: bool
    warning: str = ""


def check_template(content: bytes | bytearray, device: str, doing: str) -> TemplateFinding:
    """Tell a template from a missing finger (length 0, or a record without minutiae).

    Raises
    ------
    ChipDataError
        Not a finger minutiae record, or its length field disagrees with the file's prefix.
    """
    if len(content) < EMPTY_RECORD:
        return TemplateFinding(False, "missing")
    if content[:4] != MAGIC:
        raise ChipDataError(device, doing, "not a finger minutiae record")
    stated = int.from_bytes(content[8:12], "big")
    if stated != len(content):
        raise ChipDataError(device, doing, f"the record says {stated} bytes, the file holds {len(content)}")
    if content[4:8] != VERSION_2005:
        return TemplateFinding(True, "version")
    if content[_COUNT_OFFSET] == 0:
        return TemplateFinding(False, "missing")
    return TemplateFinding(True)
