"""Command and response APDUs of ISO/IEC 7816-4, short form. Pure: no card, no logging."""

import enum
from dataclasses import dataclass


class Sw(enum.IntEnum):
    """Status words by name (ISO/IEC 7816-4, table 6)."""

    OK = 0x9000
    WRONG_LENGTH = 0x6700
    AUTHENTICATION_FAILED = 0x6300
    MEMORY_FAILURE = 0x6581
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    CONDITIONS_NOT_SATISFIED = 0x6985
    SM_OBJECTS_MISSING = 0x6987
    SM_OBJECTS_INCORRECT = 0x6988
    WRONG_DATA = 0x6A80
    FILE_NOT_FOUND = 0x6A82
    WRONG_P1P2 = 0x6A86
    WRONG_OFFSET = 0x6B00
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00
    UNKNOWN = 0x6F00


class Ins(enum.IntEnum):
    """Instructions used on cards here."""

    EXTERNAL_AUTHENTICATE = 0x82
    GET_CHALLENGE = 0x84
    SELECT = 0xA4
    READ_BINARY = 0xB0
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCA


CLA_SECURE = 0x0C
"""Secure messaging, header authenticated."""


@dataclass(frozen=True, slots=True)
class Command:
    """A short command APDU.

    ``le`` is the number of bytes expected, 1 to 256, or None where the command asks for none.
    The body may hold secrets, so it is not shown.
    """

    cla: int
    ins: int
    p1: int = 0
    p2: int = 0
    data: bytes = b""
    le: int | None = None

    def __post_init__(self) -> None:
        if len(self.data) > 255:
            raise ValueError(f"{len(self.data)} bytes do not fit a short command")
        if self.le is not None and not 1 <= self.le <= 256:
            raise ValueError(f"Le {self.le} does not fit a short command")

    def __repr__(self) -> str:
        return f"<command {self.header.hex(' ').upper()}, {len(self.data)} bytes, Le {self.le}>"

    @property
    def header(self) -> bytes:
        """CLA INS P1 P2."""
        return bytes([self.cla, self.ins, self.p1, self.p2])

    def encode(self) -> bytes:
        """Bytes on the wire. A bare command is sent with P3 = 00, as every reader of such cards does."""
        body = bytes([len(self.data)]) + self.data if self.data else b""
        tail = b"" if self.le is None else bytes([self.le & 0xFF])
        return self.header + (body + tail or b"\x00")

    @classmethod
    def decode(cls, apdu: bytes) -> "Command":
        """Read a short command; ``P3 = 00`` alone is Le 256. Raises ValueError when lengths disagree."""
        if len(apdu) < 4:
            raise ValueError(f"{len(apdu)} bytes are no command")
        cla, ins, p1, p2 = apdu[:4]
        if len(apdu) == 4:
            return cls(cla, ins, p1, p2)
        if len(apdu) == 5:
            return cls(cla, ins, p1, p2, le=apdu[4] or 256)
        lc = apdu[4]
        if lc == 0 or len(apdu) not in (5 + lc, 6 + lc):
            raise ValueError("Lc disagrees with the length of the command")
        le = (apdu[5 + lc] or 256) if len(apdu) == 6 + lc else None
        return cls(cla, ins, p1, p2, apdu[5 : 5 + lc], le)


@dataclass(frozen=True, slots=True)
class Response:
    """Data and status word. The data may be secret, so it is not shown."""

    data: bytes
    sw: int

    def __repr__(self) -> str:
        return f"<response {len(self.data)} bytes, {self.sw:04X}>"

    @property
    def ok(self) -> bool:
        """The status word is exactly 9000."""
        return self.sw == Sw.OK

    @classmethod
    def decode(cls, answer: bytes) -> "Response":
        """Split off the last two bytes; shorter answers are a removed card and never come here."""
        if len(answer) < 2:
            raise ValueError(f"{len(answer)} bytes are no response")
        return cls(answer[:-2], int.from_bytes(answer[-2:], "big"))

    def encode(self) -> bytes:
        """Data followed by the status word."""
        return self.data + self.sw.to_bytes(2, "big")


def more_available(sw: int) -> int | None:
    """Bytes still to be fetched by GET RESPONSE after ``61xx`` (``6100`` means 256), else None."""
    return (sw & 0xFF or 256) if sw >> 8 == 0x61 else None


def right_le(sw: int) -> int | None:
    """The Le to repeat the command with after ``6Cxx`` (``6C00`` means 256), else None."""
    return (sw & 0xFF or 256) if sw >> 8 == 0x6C else None
