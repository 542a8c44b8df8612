"""A virtual SAM: opened by PCID and CONFIG, authenticates chips, wraps, unwraps, deciphers, checks the signature.

Commands, lengths and status words are those seen of real SAMs; keys, hash order and result codes come
from ``invented.py``.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from drivers.card import synthetic_mark
from drivers.card.apdu import Command, Ins, Response, Sw
from drivers.card.ektp.files import (
    CARD_CONTROL_SEC,
    DATA_SIGNATURE_SIZE,
    MINUTIAE_1,
    MINUTIAE_2,
    PREFIX,
    SIGNATURE_IMAGE,
)
from drivers.card.ektp.sam import MUTUAL_AUTH_SIZE, Fa, SamIns
from drivers.card.secure_messaging import (
    BLOCK,
    ZERO_IV,
    Channel,
    Keys,
    SecureMessagingError,
    open_cryptogram,
    seal_cryptogram,
    session,
)
from drivers.card.virtual import invented
from drivers.card.virtual.faults import NO_FAULTS, FaultInjector, Faults

_CIPHERED = (SIGNATURE_IMAGE.file_id, MINUTIAE_1.file_id, MINUTIAE_2.file_id)
_UID_AND_CHALLENGE = 16


class VirtualSam:
    """A SAM in its slot. Implements :class:`~drivers.card.virtual.emulator.Emulator`."""

    def __init__(
        self,
        pcid: bytes = invented.PCID,
        config: bytes = invented.CONFIG,
        faults: Faults = NO_FAULTS,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if faults.wrong_pcid:
            pcid = bytes(byte ^ 0xFF for byte in pcid)
        self._password = bytes(byte ^ pcid[i % len(pcid)] for i, byte in enumerate(config))
        self._faults, self._random = faults, random
        self._wire = FaultInjector(faults, sleep)
        self.wrong_passwords = 0
        """Refused tries over the SAM's life: what a real SAM may count, too."""
        self._opened = False
        self._forget_chip()

    @property
    def atr(self) -> bytes:
        """Invented; says "SAMEMU"."""
        return invented.SAM_ATR

    def power_on(self) -> None:
        """Closed until PCID/CONFIG are presented; commands are counted anew."""
        self.power_off()
        self._wire.power_cycle()

    def power_off(self) -> None:
        """Everything but the count of refused tries is gone."""
        self._opened = False
        self._forget_chip()

    def reset(self) -> None:
        """Same as power off and on."""
        self.power_on()

    def transmit(self, apdu: bytes) -> bytes:
        """Answer one command."""
        return self._wire.answer(apdu, self._answer)

    def _forget_chip(self) -> None:
        self._keys: Keys | None = None
        self._at_rest_key = b""
        self._offer: tuple[bytes, bytes, bytes] | None = None
        self._channel: Channel | None = None
        self._file: int | None = None
        self._offset = 0
        self._expected = 0
        self._previous_block = ZERO_IV
        self._total: int | None = None
        self._deciphering = False
        self._hashing = False
        self._last_chunk = False
        self._hash = hashlib.sha256()
        self._signature = b""

    def _answer(self, apdu: bytes) -> bytes:
        if apdu == synthetic_mark.QUESTION:
            return _ok(synthetic_mark.ANSWER)
        try:
            command = Command.decode(apdu)
        except ValueError:
            return _sw(Sw.WRONG_LENGTH)
        if command.cla != 0x00:
            return _sw(Sw.CLASS_NOT_SUPPORTED)
        if command.ins == SamIns.OPEN:
            return self._open(command.data)
        if not self._opened:
            return _sw(Sw.SECURITY_STATUS_NOT_SATISFIED)
        match command.ins:
            case SamIns.RESET:
                self._forget_chip()
                return _ok()
            case SamIns.GET_UID:
                return _ok(invented.SAM_UID)
            case SamIns.GENERATE_MUTUAL_AUTH:
                return self._generate(command)
            case SamIns.VERIFY_MUTUAL_AUTH:
                return self._verify(command.data)
            case SamIns.ENCODE:
                return self._encode(command.data)
            case SamIns.DECODE:
                return self._decode(command.data)
            case SamIns.AUTOMATIC:
                return self._automatic(command)
            case _:
                return _sw(Sw.INSTRUCTION_NOT_SUPPORTED)

    def _open(self, password: bytes) -> bytes:
        if len(password) != len(self._password):
            return _sw(Sw.WRONG_LENGTH)
        self.power_off()
        if not hmac.compare_digest(password, self._password):
            self.wrong_passwords += 1
            return _sw(invented.SW_WRONG_PASSWORD)
        self._opened = True
        return _ok()

    def _generate(self, command: Command) -> bytes:
        control, rest = command.data[:-_UID_AND_CHALLENGE], command.data[-_UID_AND_CHALLENGE:]
        if not control:
            return _sw(Sw.WRONG_LENGTH)
        if (len(control) == CARD_CONTROL_SEC) != (command.p2 == 0x01):
            return _sw(Sw.WRONG_DATA)
        uid, rnd_icc = rest[:8], rest[8:]
        self._forget_chip()
        self._keys = invented.static_keys(control, uid)
        self._at_rest_key = invented.at_rest_key(control, uid)
        rnd_ifd, k_ifd = self._random(8), self._random(16)
        self._offer = (rnd_ifd, rnd_icc, k_ifd)
        return _ok(seal_cryptogram(self._keys, rnd_ifd + rnd_icc + k_ifd) + bytes([MUTUAL_AUTH_SIZE]))

    def _verify(self, chip_answer: bytes) -> bytes:
        offer, self._offer = self._offer, None
        if not chip_answer:
            return _sw(Sw.WRONG_LENGTH)
        if offer is None or self._keys is None:
            return _sw(Sw.CONDITIONS_NOT_SATISFIED)
        rnd_ifd, rnd_icc, k_ifd = offer
        try:
            content = open_cryptogram(self._keys, chip_answer)
        except SecureMessagingError:
            return _sw(invented.SW_WRONG_CRYPTOGRAM)
        if content[:8] != rnd_icc or content[8:16] != rnd_ifd:
            return _sw(invented.SW_WRONG_CRYPTOGRAM)
        self._channel = session(k_ifd, content[16:], rnd_ifd, rnd_icc)
        return _ok()

    def _encode(self, plain: bytes) -> bytes:
        if self._channel is None:
            return _sw(Sw.UNKNOWN)
        try:
            command = Command.decode(plain)
        except ValueError:
            return _sw(Sw.WRONG_DATA)
        if command.ins == Ins.SELECT:
            self._file = int.from_bytes(command.data, "big")
            self._expected, self._previous_block, self._total = 0, ZERO_IV, None
        elif command.ins == Ins.READ_BINARY:
            self._offset = command.p1 << 8 | command.p2
        return _ok(self._channel.wrap_command(command))

    def _decode(self, protected: bytes) -> bytes:
        if self._channel is None:
            return _sw(Sw.UNKNOWN)
        try:
            answer = self._channel.unwrap_response(protected)
        except SecureMessagingError:
            self._forget_chip()
            return _sw(invented.SW_WRONG_MAC)
        data = answer.data
        if data and self._deciphering and self._file in _CIPHERED:
            if self._offset != self._expected or len(data) % BLOCK:
                return _sw(invented.SW_OUT_OF_ORDER)
            data = self._decipher(data)
        if data and self._hashing:
            self._hash.update(data)
            self._hashing = not self._last_chunk
        return _ok(data + answer.sw.to_bytes(2, "big"))

    def _decipher(self, blocks: bytes) -> bytes:
        """Blocks as they pass, the first of which tells the length; the last one comes back trimmed."""
        data = invented.decipher_at_rest(self._at_rest_key, blocks, self._previous_block)
        self._previous_block = blocks[-BLOCK:]
        if self._total is None:
            self._total = PREFIX + int.from_bytes(data[:PREFIX], "big")
        data = data[: max(0, self._total - self._expected)]
        self._expected += len(blocks)
        return data

    def _automatic(self, command: Command) -> bytes:
        match command.p1:
            case Fa.START_SIGNATURE:
                self._hash, self._hashing, self._last_chunk = hashlib.sha256(), True, False
            case Fa.STOP_SIGNATURE:
                self._last_chunk = True
            case Fa.VERIFY_PLAIN:
                self._hash.update(command.data)
            case Fa.START_DECIPHERING:
                self._deciphering = True
            case Fa.SET_SIGNATURE if len(command.data) == DATA_SIGNATURE_SIZE:
                self._signature = invented.signature_from_file(command.data)
            case Fa.SET_SIGNATURE:
                return _sw(Sw.WRONG_LENGTH)
            case Fa.VERIFY_SIGNATURE:
                return self._signature_result()
            case _:
                return _sw(Sw.WRONG_P1P2)
        return _ok()

    def _signature_result(self) -> bytes:
        """Two bytes that are no status word."""
        if self._faults.signature_result is not None:
            return self._faults.signature_result
        valid = invented.signature_valid(self._signature, self._hash.digest())
        return invented.SIGNATURE_VALID if valid else invented.SIGNATURE_NOT_PROVEN


def _ok(data: bytes = b"") -> bytes:
    return Response(data, Sw.OK).encode()


def _sw(sw: int) -> bytes:
    return Response(b"", sw).encode()
