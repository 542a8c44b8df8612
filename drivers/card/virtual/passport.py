"""A virtual passport: the eMRTD application of an invented, synthetic holder behind basic access control.

Layout, file ids, tags and messages are those of ICAO Doc 9303 parts 10 and 11; the holder, the face (a drawing),
the issuing state (``UTO``, which the standard keeps for specimens) and EF.SOD's absence are invented.
"""

import datetime
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.card import synthetic_mark
from drivers.card.apdu import CLA_SECURE, Command, Ins, Response, Sw
from drivers.card.emrtd.bac import CHALLENGE_SIZE, KEY_SIZE
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
from drivers.card.secure_messaging import Channel, SecureMessagingError, open_cryptogram, seal_cryptogram, session
from drivers.card.tlv import DataObject
from drivers.card.virtual import invented
from drivers.card.virtual.faults import NO_FAULTS, FaultInjector, Faults
from drivers.card.virtual.person import drawn_portrait

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


class VirtualPassport:
    """A passport of one holder. Implements :class:`~drivers.card.virtual.emulator.Emulator`.

    ``bac`` False: a chip that gives no challenge, as those do that ask for PACE; ``selects`` False: it does not even
    let its application be selected before.
    """

    atr = ATR

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
        self._faults, self._bac, self._selects, self._random = faults, bac, selects, random
        self._keys = holder.key.keys()
        self._files = {file_id: content for file_id, content in _files(holder).items() if file_id not in without}
        self._wire = FaultInjector(faults, sleep)
        self._forget()

    def power_on(self) -> None:
        """Fresh state; commands are counted anew."""
        self._forget()
        self._wire.power_cycle()

    def power_off(self) -> None:
        """Selection, challenge and channel are gone."""
        self._forget()

    def reset(self) -> None:
        """Same as power off and on."""
        self.power_on()

    def transmit(self, apdu: bytes) -> bytes:
        """Answer one command."""
        return self._wire.answer(apdu, lambda command: self._answer(command).encode())

    def _forget(self) -> None:
        self._application = False
        self._file: int | None = None
        self._challenge: bytes | None = None
        self._channel: Channel | None = None
        self._secured_answers = 0

    def _answer(self, apdu: bytes) -> Response:
        if apdu == synthetic_mark.QUESTION:
            return _ok(synthetic_mark.ANSWER)
        try:
            command = Command.decode(apdu)
        except ValueError:
            return Response(b"", Sw.WRONG_LENGTH)
        if command.cla == CLA_SECURE:
            return self._secured(command)
        # A plain command ends the channel, as the standard asks.
        self._channel = None
        if command.cla == 0xFF and command.ins == Ins.GET_DATA:
            return Response(b"", invented.SW_TWO_CARDS) if self._faults.two_cards else _ok(UID)
        if command.cla != 0x00:
            return Response(b"", Sw.CLASS_NOT_SUPPORTED)
        match command.ins:
            case Ins.SELECT if command.p1 == 0x04 and not self._selects:
                return Response(b"", Sw.SECURITY_STATUS_NOT_SATISFIED)
            case Ins.SELECT if command.p1 == 0x04:
                self._application = command.data == APPLICATION and not self._faults.unknown_chip
                return _ok() if self._application else Response(b"", Sw.FILE_NOT_FOUND)
            case Ins.SELECT | Ins.READ_BINARY if self._application:
                return Response(b"", Sw.SECURITY_STATUS_NOT_SATISFIED)
            case Ins.GET_CHALLENGE if self._application and self._bac:
                self._challenge = self._random(CHALLENGE_SIZE)
                return _ok(self._challenge)
            case Ins.GET_CHALLENGE:
                return Response(b"", Sw.CONDITIONS_NOT_SATISFIED)
            case Ins.EXTERNAL_AUTHENTICATE:
                return self._authenticate(command)
            case Ins.SELECT:
                return Response(b"", Sw.FILE_NOT_FOUND)
            case _:
                return Response(b"", Sw.INSTRUCTION_NOT_SUPPORTED)

    def _authenticate(self, command: Command) -> Response:
        challenge, self._challenge = self._challenge, None
        if challenge is None:
            return Response(b"", Sw.CONDITIONS_NOT_SATISFIED)
        try:
            content = open_cryptogram(self._keys, command.data)
        except SecureMessagingError:
            return Response(b"", Sw.AUTHENTICATION_FAILED)
        rnd_ifd, rnd_icc, k_ifd = content[:8], content[8:16], content[16:]
        if rnd_icc != challenge:
            return Response(b"", Sw.AUTHENTICATION_FAILED)
        k_icc = self._random(KEY_SIZE)
        self._channel = session(k_ifd, k_icc, rnd_ifd, rnd_icc)
        return _ok(seal_cryptogram(self._keys, rnd_icc + rnd_ifd + k_icc))

    def _secured(self, protected: Command) -> Response:
        if self._channel is None:
            return Response(b"", Sw.SECURITY_STATUS_NOT_SATISFIED)
        try:
            command = self._channel.unwrap_command(protected)
        except SecureMessagingError:
            self._channel = None
            return Response(b"", Sw.SM_OBJECTS_INCORRECT)
        match command.ins:
            case Ins.SELECT if (command.p1, command.p2) == SELECT_BY_ID:
                answer = self._select(int.from_bytes(command.data, "big"))
            case Ins.READ_BINARY:
                answer = self._read(command)
            case _:
                answer = Response(b"", Sw.INSTRUCTION_NOT_SUPPORTED)
        self._secured_answers += 1
        if self._secured_answers == self._faults.inner_status_at:
            answer = Response(b"", Sw.MEMORY_FAILURE)
        protected_answer = self._channel.wrap_response(answer)
        if self._secured_answers == self._faults.wrong_mac_at:
            protected_answer = protected_answer[:-1] + bytes([protected_answer[-1] ^ 0xFF])
        return _ok(protected_answer)

    def _select(self, file_id: int) -> Response:
        if file_id not in self._files:
            return Response(b"", Sw.FILE_NOT_FOUND)
        self._file = file_id
        return _ok()

    def _read(self, command: Command) -> Response:
        if self._file is None:
            return Response(b"", Sw.CONDITIONS_NOT_SATISFIED)
        offset, size, content = command.p1 << 8 | command.p2, command.le or 256, self._files[self._file]
        if offset > len(content):
            return Response(b"", Sw.WRONG_OFFSET)
        data = content[offset : offset + size]
        if self._file == self._faults.truncated_file and offset > 0 and offset + size >= len(content):
            data = data[:-1]
        return _ok(data)


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


def _ok(data: bytes = b"") -> Response:
    return Response(data, Sw.OK)
