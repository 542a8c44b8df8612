"""The files of the e-KTP application: ids, what they hold, how long they may be, how they are protected. Pure."""

import enum
from dataclasses import dataclass

DF_EKTP = 0x7F0A
"""The application. A card that does not select it is no e-KTP, or one of an unknown generation."""


class Access(enum.Enum):
    """What stands between the host and a file's content."""

    FREE = "free"
    """Read in clear, without any key."""
    SECURED = "secured"
    """Read through secure messaging."""
    CIPHERED = "ciphered"
    """Secure messaging, and stored under a cipher that the SAM removes while the data passes through it."""


@dataclass(frozen=True, slots=True)
class ChipFile:
    """One elementary file. ``longest`` bounds the payload, so that a broken length prefix ends the read."""

    file_id: int
    name: str
    access: Access
    longest: int


CARD_CONTROL = ChipFile(0x6FF0, "card control", Access.FREE, 239)
"""Handed to the SAM unchanged; with UID and challenge (16 bytes) it must fit one command."""
BIODATA = ChipFile(0x6FF1, "biodata", Access.SECURED, 2048)
"""226 to 277 bytes seen."""
PHOTO = ChipFile(0x6FF2, "photo", Access.FREE, 4096)
"""About 1700 bytes seen; one reader allots 4096."""
SIGNATURE_IMAGE = ChipFile(0x6FF3, "signature image", Access.CIPHERED, 4096)
"""168 x 44 pixels of one bit, 924 bytes."""
MINUTIAE_1 = ChipFile(0x6FF4, "minutiae 1", Access.CIPHERED, 2048)
"""270 to 390 bytes seen; 255 minutiae would be 1560."""
MINUTIAE_2 = ChipFile(0x6FF5, "minutiae 2", Access.CIPHERED, 2048)
DATA_SIGNATURE = ChipFile(0x6FF6, "data signature", Access.SECURED, 78)

DATA_SIGNATURE_SIZE = 80
"""Read as a whole and handed to the SAM unread: older cards hold another structure."""

CARD_CONTROL_READ = 53
"""Bytes that come back in every case; the stated length may be shorter, the rest is filler."""
CARD_CONTROL_LENGTHS = (24, 29, 51)
CARD_CONTROL_SEC = 51
"""The one length that needs *generate sec mutual auth*."""

PREFIX = 2
"""Big-endian length of the payload, not counting itself, at the start of each file."""
FIRST_READ = 8
"""Length and the first bytes; one block of the cipher."""
PLAIN_CHUNK = 248
"""Free files: the largest multiple of eight that fits one answer."""
SECURED_CHUNK = 208
"""With padding 216 bytes of ciphertext: the whole protected answer (234 bytes) fits one short APDU."""
CIPHER_BLOCK = 8
"""Ciphered files are asked for in whole blocks; the SAM trims the last one."""
