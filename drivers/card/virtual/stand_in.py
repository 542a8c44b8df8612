"""Files of nobody, of any wanted length: what a masked recording is played back with."""

from drivers.card.ektp.files import BIODATA, MINUTIAE_1, MINUTIAE_2, PHOTO, PREFIX
from drivers.card.ektp.template_file import EMPTY_RECORD, MAGIC, VERSION_2005

_FIELDS = (
    *("9901010101700001", "", "001", "001", "-", "-", "-", "-", "LAKI-LAKI", "-", "-", "-", "-"),
    *("PESERTA UJI SATU", "1-1-1970", "-", "1-1-2017", "2", "7", "WNI", "-"),
)
_ADDRESS = 1
_MINUTIA = 6
_POSITION = {MINUTIAE_1.file_id: 2, MINUTIAE_2.file_id: 7}


def stand_in(file_id: int, length: int | None) -> bytes:
    """The file with its prefix; ``length`` is that of its payload, None when nobody knows: then it is empty."""
    if length is None:
        return b""
    if file_id == BIODATA.file_id:
        content = _line(length)
    elif file_id == PHOTO.file_id:
        content = (b"\xff\xd8" + bytes(max(0, length - 4)) + b"\xff\xd9")[:length]
    elif file_id in _POSITION:
        content = _record(file_id, length)
    else:
        content = bytes(length)
    return length.to_bytes(PREFIX, "big") + content


def _line(length: int) -> bytes:
    """A quoted line; the address takes up what is left."""
    fields = list(_FIELDS)
    line = ",".join(f'"{value}"' for value in fields)
    fields[_ADDRESS] = "-" * max(0, length - len(line))
    return ",".join(f'"{value}"' for value in fields).encode("ascii")[:length]


def _record(file_id: int, length: int) -> bytes:
    """A minutiae record of the right lengths, without a single minutia that is one."""
    if length < EMPTY_RECORD:
        return bytes(length)
    header = MAGIC + VERSION_2005 + length.to_bytes(4, "big") + bytes(12)
    view = bytes([_POSITION[file_id], 0, 0xFE, (length - EMPTY_RECORD) // _MINUTIA])
    return (header + view).ljust(length, b"\x00")
