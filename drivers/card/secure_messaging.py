"""Secure messaging of ICAO Doc 9303 part 11 (basic access control): two-key 3DES, retail MAC, counter.

Chip side and terminal side. Passports are read with it (``emrtd/``); the virtual chips and the virtual SAM use
it, too: the e-KTP's own keys are not public, its messages have exactly this shape. Worked example: appendix D.4
of that document.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

from drivers.card.apdu import CLA_SECURE, Command, Response
from drivers.card.tlv import DataObject, TlvError, parse

BLOCK = 8
ZERO_IV = bytes(BLOCK)
DO_CRYPTOGRAM, DO_LE, DO_STATUS, DO_MAC = 0x87, 0x97, 0x99, 0x8E
PADDING_INDICATOR = b"\x01"
_COUNTER_END = 1 << 64


class SecureMessagingError(Exception):
    """A cryptogram, MAC or structure that is not right: altered, replayed or out of order."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Two-key 3DES keys, 16 bytes each."""

    enc: bytes
    mac: bytes

    @classmethod
    def derive(cls, seed: bytes) -> "Keys":
        """First 16 bytes of SHA-1(seed ‖ 00000001) and SHA-1(seed ‖ 00000002), parity adjusted."""
        return cls(*(_odd_parity(sha1(seed + number.to_bytes(4, "big"))[:16]) for number in (1, 2)))


def encrypt(key: bytes, data: bytes, iv: bytes = ZERO_IV) -> bytes:
    """3DES-CBC without padding; a key of 8 bytes is single DES."""
    encryptor = Cipher(_algorithm(key), CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def decrypt(key: bytes, data: bytes, iv: bytes = ZERO_IV) -> bytes:
    """The reverse of :func:`encrypt`."""
    decryptor = Cipher(_algorithm(key), CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def pad(data: bytes) -> bytes:
    """ISO/IEC 9797-1 padding method 2: 80, then zeros to a whole block."""
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)


def unpad(data: bytes) -> bytes:
    """Undo :func:`pad`."""
    stripped = data.rstrip(b"\x00")
    if not stripped.endswith(b"\x80") or len(data) - len(stripped) >= BLOCK:
        raise SecureMessagingError("padding is not method 2")
    return stripped[:-1]


def retail_mac(key: bytes, message: bytes) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 3 over the padded message: DES chain, last block through both halves."""
    last = encrypt(key[:8], pad(message))[-BLOCK:]
    return encrypt(key[:8], decrypt(key[8:], last))


def seal_cryptogram(keys: Keys, content: bytes) -> bytes:
    """32 bytes encrypted, then their MAC: the 40 bytes of EXTERNAL AUTHENTICATE, either way."""
    cryptogram = encrypt(keys.enc, content)
    return cryptogram + retail_mac(keys.mac, cryptogram)


def open_cryptogram(keys: Keys, sealed: bytes) -> bytes:
    """The 32 bytes inside; raises SecureMessagingError when the MAC is wrong."""
    cryptogram, mac = sealed[:-BLOCK], sealed[-BLOCK:]
    if len(sealed) != 40 or not hmac.compare_digest(retail_mac(keys.mac, cryptogram), mac):
        raise SecureMessagingError("authentication cryptogram")
    return decrypt(keys.enc, cryptogram)


def session(k_ifd: bytes, k_icc: bytes, rnd_ifd: bytes, rnd_icc: bytes) -> "Channel":
    """The channel both sides hold after mutual authentication."""
    seed = bytes(a ^ b for a, b in zip(k_ifd, k_icc, strict=True))
    return Channel(Keys.derive(seed), rnd_icc[-4:] + rnd_ifd[-4:])


class Channel:
    """Channel keys and the send sequence counter, which steps before every command and every answer."""

    def __init__(self, keys: Keys, counter: bytes) -> None:
        self._keys = keys
        self._counter = int.from_bytes(counter, "big")

    def wrap_command(self, plain: Command) -> bytes:
        """Terminal side: the protected command."""
        header = bytes([CLA_SECURE]) + plain.header[1:]
        body = b""
        if plain.data:
            body += self._cryptogram(plain.data)
        if plain.le is not None:
            body += DataObject(DO_LE, bytes([plain.le & 0xFF])).encode()
        self._step()
        body += DataObject(DO_MAC, self._mac(pad(header) + body)).encode()
        return header + bytes([len(body)]) + body + b"\x00"

    def unwrap_command(self, protected: Command) -> Command:
        """Chip side: check and open a protected command."""
        fields, body = _data_objects(protected.data, (DO_CRYPTOGRAM, DO_LE))
        self._step()
        self._check(fields[DO_MAC], pad(protected.header) + body)
        le = fields.get(DO_LE)
        if le is not None and len(le) != 1:
            raise SecureMessagingError("protected Le")
        return Command(
            0x00,
            protected.ins,
            protected.p1,
            protected.p2,
            self._plain(fields.get(DO_CRYPTOGRAM)),
            None if le is None else le[0] or 256,
        )

    def wrap_response(self, plain: Response) -> bytes:
        """Chip side: the protected answer, without the outer status word."""
        body = self._cryptogram(plain.data) if plain.data else b""
        body += DataObject(DO_STATUS, plain.sw.to_bytes(2, "big")).encode()
        self._step()
        return body + DataObject(DO_MAC, self._mac(body)).encode()

    def unwrap_response(self, protected: bytes) -> Response:
        """Terminal side: check and open a protected answer."""
        fields, body = _data_objects(protected, (DO_CRYPTOGRAM, DO_STATUS))
        self._step()
        self._check(fields[DO_MAC], body)
        status = fields.get(DO_STATUS, b"")
        if len(status) != 2:
            raise SecureMessagingError("protected status word")
        return Response(self._plain(fields.get(DO_CRYPTOGRAM)), int.from_bytes(status, "big"))

    def _step(self) -> None:
        self._counter = (self._counter + 1) % _COUNTER_END

    def _mac(self, message: bytes) -> bytes:
        return retail_mac(self._keys.mac, self._counter.to_bytes(8, "big") + message)

    def _check(self, mac: bytes, message: bytes) -> None:
        if not hmac.compare_digest(self._mac(message), mac):
            raise SecureMessagingError("MAC")

    def _cryptogram(self, data: bytes) -> bytes:
        return DataObject(DO_CRYPTOGRAM, PADDING_INDICATOR + encrypt(self._keys.enc, pad(data))).encode()

    def _plain(self, cryptogram: bytes | None) -> bytes:
        if cryptogram is None:
            return b""
        if cryptogram[:1] != PADDING_INDICATOR or len(cryptogram) < 1 + BLOCK or len(cryptogram) % BLOCK != 1:
            raise SecureMessagingError("cryptogram length")
        return unpad(decrypt(self._keys.enc, cryptogram[1:]))


def _data_objects(data: bytes, optional: tuple[int, int]) -> tuple[dict[int, bytes], bytes]:
    """Values by tag, and the encoded objects in front of the MAC, which must come last."""
    try:
        objects = list(parse(data))
    except TlvError as error:
        raise SecureMessagingError("data objects") from error
    tags = [data_object.tag for data_object in objects]
    if not tags or tags[-1] != DO_MAC or tags[:-1] != [tag for tag in optional if tag in tags]:
        raise SecureMessagingError("data objects")
    return {item.tag: item.value for item in objects}, b"".join(item.encode() for item in objects[:-1])


def _algorithm(key: bytes) -> TripleDES:
    """Three keys of eight bytes from one (single DES: encrypt, decrypt, encrypt with the same) or two."""
    return TripleDES(key * 3 if len(key) == 8 else key + key[:8])


def sha1(data: bytes) -> bytes:
    """The hash of the standard's key derivation; it proves nothing here."""
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _odd_parity(key: bytes) -> bytes:
    return bytes(byte ^ 1 if byte.bit_count() % 2 == 0 else byte for byte in key)
