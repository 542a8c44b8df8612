"""A virtual passport: the eMRTD application of an invented, synthetic holder behind basic access control.

Layout, file ids, tags and messages are those of ICAO Doc 9303 parts 10 and 11; the holder, the face (a drawing),
the issuing state (``UTO``, which the standard keeps for specimens) and EF.SOD's absence are invented.
"""

import datetime
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.card.apdu import Command, Ins, Response, Sw
from drivers.card.emrtd.files import APPLICATION, COM, DG1, DG2, SELECT_BY_ID
from drivers.card.emrtd.lds import (
    BIOMETRIC_DATA,
    BIOMETRIC_GROUP,
    BIOMETRIC_TEMPLATE,
    FACE_HEADER,
    FACE_INFORMATION,
    FACE_MAGIC,
    IMAGE_INFORMATION,
    TAG_LIST,
    TAG_MRZ,
    FaceCoding,
)
from drivers.card.emrtd.mrz import FILLER, MrzHolder, MrzKey, check_digit
from drivers.card.tlv import DataObject
from drivers.card.virtual import invented
from drivers.card.virtual.faults import NO_FAULTS, Faults
from drivers.card.virtual.person import drawn_portrait
from drivers.card.virtual.secured_chip import SecuredChip, ok, refused

ATR = bytes.fromhex("3B8880014D504F53555041531F")
"""Invented: historical bytes "MPOSUPAS" and their check byte; a contactless card of ISO 14443-4 by its shape."""
UID = bytes.fromhex("08990001")
"""Four bytes beginning with 08: a passport gives a random number each time, this one gives the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHolder:
    """What is written in one virtual passport."""

    zone: str = field(repr=False)
    """Two lines of 44, together."""
    face: bytes = field(repr=False)
    coding: FaceCoding = FaceCoding.JPEG

    @property
    def key(self) -> MrzKey:
        """What opens the chip."""
        return MrzKey.scanned(self.zone)

    @property
    def fields(self) -> MrzHolder:
        """The zone taken apart."""
        return MrzHolder.read(self.zone)


def synthetic_holder(
    n: int, *, expires: datetime.date = datetime.date(2031, 6, 30), face: bytes | None = None
) -> VirtualHolder:
    """The n-th synthetic foreigner (n from 1): "PEKERJA ASING CONTOH …" of Utopia; the same n, the same person."""
    if not 1 <= n <= 999:
        raise ValueError("synthetic foreigners are numbered 1 to 999")
    born = datetime.date(1970 + 3 * n % 30, 1 + 7 * n % 12, 1 + 11 * n % 28)
    number = f"ZZ99{n:03d}".ljust(9, FILLER)
    names = f"CONTOH<<PEKERJA<ASING<{'ABCDEFGHIJ'[n % 10]}"
    optional = FILLER * 14
    fields = (number, f"{born:%y%m%d}", f"{expires:%y%m%d}", optional)
    number_d, born_d, expires_d, optional_d = (part + check_digit(part) for part in fields)
    composite = check_digit(number_d + born_d + expires_d + optional_d)
    upper = f"P<UTO{names}".ljust(44, FILLER)
    lower = f"{number_d}UTO{born_d}{'F' if n % 2 == 0 else 'M'}{expires_d}{optional_d}{composite}"
    return VirtualHolder(zone=upper + lower, face=face if face is not None else drawn_portrait(n))


class VirtualPassport(SecuredChip):
    """A passport of one holder.

    ``bac`` False: a chip that gives no challenge, as those do that ask for PACE; ``selects`` False: it does not even
    let its application be selected before.
    """

    atr = ATR
    wrong_cryptogram = Sw.AUTHENTICATION_FAILED
    wrong_mac = Sw.SM_OBJECTS_INCORRECT
    torn_by = 1

    def __init__(
        self,
        holder: VirtualHolder,
        faults: Faults = NO_FAULTS,
        *,
        bac: bool = True,
        selects: bool = True,
        without: tuple[int, ...] = (),
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bac, self._selects = bac, selects
        files = {file_id: content for file_id, content in _files(holder).items() if file_id not in without}
        super().__init__(files, holder.key.keys(), faults, random=random, sleep=sleep)

    def _plain(self, command: Command) -> Response:
        # A plain command ends the channel, as the standard asks.
        self._channel = None
        if command.cla == 0xFF and command.ins == Ins.GET_DATA:
            return refused(invented.SW_TWO_CARDS) if self._faults.two_cards else ok(UID)
        if command.cla != 0x00:
            return refused(Sw.CLASS_NOT_SUPPORTED)
        match command.ins:
            case Ins.SELECT if command.p1 == 0x04 and not self._selects:
                return refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
            case Ins.SELECT if command.p1 == 0x04:
                self._application = command.data == APPLICATION and not self._faults.unknown_chip
                return ok() if self._application else refused(Sw.FILE_NOT_FOUND)
            case Ins.SELECT | Ins.READ_BINARY if self._application:
                return refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
            case Ins.GET_CHALLENGE if self._application and self._bac:
                return self._give_challenge()
            case Ins.GET_CHALLENGE:
                return refused(Sw.CONDITIONS_NOT_SATISFIED)
            case Ins.EXTERNAL_AUTHENTICATE:
                return self._authenticate(command)
            case Ins.SELECT:
                return refused(Sw.FILE_NOT_FOUND)
            case _:
                return refused(Sw.INSTRUCTION_NOT_SUPPORTED)

    def _within(self, command: Command) -> Response:
        match command.ins:
            case Ins.SELECT if (command.p1, command.p2) == SELECT_BY_ID:
                return self._select(int.from_bytes(command.data, "big"))
            case Ins.READ_BINARY:
                return self._piece(command)
            case _:
                return refused(Sw.INSTRUCTION_NOT_SUPPORTED)

    def _select(self, file_id: int) -> Response:
        if file_id not in self._files:
            return refused(Sw.FILE_NOT_FOUND)
        self._file = file_id
        return ok()


def _files(holder: VirtualHolder) -> dict[int, bytes]:
    com = _object(0x5F01, b"0107") + _object(0x5F36, b"040000") + _object(TAG_LIST, bytes([DG1.tag, DG2.tag]))
    return {
        COM.file_id: _object(COM.tag, com),
        DG1.file_id: _object(DG1.tag, _object(TAG_MRZ, holder.zone.encode("ascii"))),
        DG2.file_id: _object(DG2.tag, _face_group(holder)),
    }


def _face_group(holder: VirtualHolder) -> bytes:
    image = IMAGE_INFORMATION.pack(1, holder.coding, 114, 152, 1, 0, 0, 0) + holder.face
    block = FACE_INFORMATION.pack(
        FACE_INFORMATION.size + len(image), 0, 0, 0, 0, bytes(3), bytes(2), bytes(3), bytes(3)
    )
    record = FACE_HEADER.pack(FACE_MAGIC, FACE_HEADER.size + len(block) + len(image), 1) + block + image
    header = _object(0x87, bytes.fromhex("0101")) + _object(0x88, bytes.fromhex("0008"))
    template = _object(0xA1, header) + _object(BIOMETRIC_DATA[0], record)
    return _object(BIOMETRIC_GROUP, _object(0x02, b"\x01") + _object(BIOMETRIC_TEMPLATE, template))


def _object(tag: int, value: bytes) -> bytes:
    return DataObject(tag, value).encode()
