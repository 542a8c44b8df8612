"""The SAM's commands as verbs: open, authenticate a chip, wrap and unwrap, check the data signature.

The SAM is a contact smart card issued by Dukcapil. The host holds no card key and does no cryptography:
it carries messages between chip and SAM. Commands have CLA ``00``; ``F8`` (activation) and ``FD`` (log
activation) exist and are never sent, their meaning is not public.
"""

import contextlib
import enum
import logging
from collections.abc import Iterator

from drivers.card.apdu import Command, Response, Sw
from drivers.card.base import CardConnection
from drivers.card.ektp.files import CARD_CONTROL_SEC
from drivers.card.ektp.sam_secrets import SamSecrets
from drivers.card.errors import (
    CardRemovedError,
    ChipAuthenticationError,
    SamLockedError,
    SamMissingError,
    StatusWordError,
)
from drivers.card.exchange import exchange, exchange_bytes
from drivers.errors import DeviceError, DeviceProtocolError

__all__ = ["Fa", "Sam", "SamIns", "SamSecrets", "open_command"]

log = logging.getLogger(__name__)


class SamIns(enum.IntEnum):
    """Instructions of the SAM that are sent."""

    OPEN = 0xF0
    GENERATE_MUTUAL_AUTH = 0xF1
    VERIFY_MUTUAL_AUTH = 0xF2
    ENCODE = 0xF3
    DECODE = 0xF4
    GET_UID = 0xF7
    AUTOMATIC = 0xFA
    RESET = 0xFF


class Fa(enum.IntEnum):
    """First parameter of ``FA``: what the SAM does by itself while data passes through it."""

    START_SIGNATURE = 0x00
    STOP_SIGNATURE = 0x02
    VERIFY_PLAIN = 0x03
    VERIFY_SIGNATURE = 0x04
    START_DECIPHERING = 0x05
    SET_SIGNATURE = 0x06


MUTUAL_AUTH_SIZE = 40
"""Cryptogram (32) and MAC (8), both ways."""

# Refusals that may count against the SAM: security (69xx) and "tries left" (63Cx).
_COUNTED_REFUSALS = (0x69, 0x63)


def open_command(secrets: SamSecrets) -> Command:
    """``F0`` with the password: 37 bytes on the wire."""
    return Command(0x00, SamIns.OPEN, data=secrets.password())


class Sam:
    """A connected SAM. Verbs in the order of the transaction; each checks for exactly ``9000``."""

    def __init__(self, connection: CardConnection) -> None:
        self._connection = connection
        self._opened = False

    @property
    def name(self) -> str:
        """The reader or slot it sits in."""
        return self._connection.reader

    def open(self, secrets: SamSecrets) -> None:
        """Present PCID and CONFIG, once.

        Raises
        ------
        SamLockedError
            Refused now, or refused before and nobody allowed another try: then nothing is sent at all.
        """
        doing = "opening the SAM"
        if secrets.refused:
            raise SamLockedError(self.name, doing, "refused before; a technician must allow another try")
        answer = self._send(open_command(secrets), doing)
        if answer.sw >> 8 in _COUNTED_REFUSALS:
            secrets.remember_refusal()
            raise SamLockedError(self.name, doing, f"{answer.sw:04X}: SAM locked, or wrong PCID/CONFIG")
        self._expect_ok(answer, doing)
        self._opened = True

    def uid(self) -> bytes:
        """The SAM's 7-byte number; empty when this SAM does not tell it."""
        answer = self._send(Command(0x00, SamIns.GET_UID), "asking the SAM's number")
        return answer.data if answer.ok else b""

    def reset(self) -> None:
        """Forget the chip and its session keys; the SAM stays open."""
        self._expect_ok(self._send(Command(0x00, SamIns.RESET), "resetting the SAM"), "resetting the SAM")

    def reset_on_the_way_out(self) -> None:
        """Reset if it was opened. A failure is logged only: the read's own result or error comes first."""
        if not self._opened:
            return
        try:
            self.reset()
        except DeviceError as error:
            log.warning("SAM could not be reset after the read: %s", error)

    def generate_mutual_auth(self, card_control: bytes, uid: bytes, challenge: bytes) -> bytes:
        """The 40 bytes that prove the SAM to the chip. ``uid`` and ``challenge`` have 8 bytes."""
        doing = "computing the authentication"
        sec = 0x01 if len(card_control) == CARD_CONTROL_SEC else 0x00
        command = Command(0x00, SamIns.GENERATE_MUTUAL_AUTH, p2=sec, data=card_control + uid + challenge)
        answer = self._send(command, doing)
        if not answer.ok:
            raise ChipAuthenticationError(self.name, doing, answer.sw, "the SAM refuses this chip")
        # A ready Le for the chip's command follows the 40 bytes.
        if len(answer.data) != MUTUAL_AUTH_SIZE + 1 or answer.data[-1] != MUTUAL_AUTH_SIZE:
            raise DeviceProtocolError(self.name, doing, f"{len(answer.data)} bytes instead of 40 and Le")
        return answer.data[:MUTUAL_AUTH_SIZE]

    def verify_mutual_auth(self, chip_answer: bytes) -> None:
        """Check the chip's 40 bytes. ``9000`` means a genuine chip, and nothing about its data."""
        doing = "verifying the chip"
        answer = self._send(Command(0x00, SamIns.VERIFY_MUTUAL_AUTH, data=chip_answer), doing)
        if not answer.ok:
            raise ChipAuthenticationError(self.name, doing, answer.sw, "the chip's answer is not accepted")

    def wrap(self, plain: Command, doing: str) -> bytes:
        """The protected form of a plain command, as bytes ready for the chip."""
        answer = self._send(Command(0x00, SamIns.ENCODE, data=plain.encode()), doing)
        self._expect_ok(answer, doing)
        return answer.data

    def unwrap(self, protected: bytes, doing: str) -> Response:
        """The chip's protected answer (without its outer status word) as plain data and inner status word."""
        answer = self._send(Command(0x00, SamIns.DECODE, data=protected), doing)
        self._expect_ok(answer, doing)
        if len(answer.data) < 2:
            raise DeviceProtocolError(self.name, doing, "no card status word in the unwrapped answer")
        return Response.decode(answer.data)

    def start_signature(self, signature: bytes) -> None:
        """From here on hash what is unwrapped; ``signature`` is the whole of ``6FF6``."""
        self._automatic(Fa.START_SIGNATURE)
        self._automatic(Fa.SET_SIGNATURE, signature)

    def verify_plain(self, chunk: bytes) -> bool:
        """Hash a piece that was read in clear (the photo). False when this SAM does not take it.

        No traffic shows this command, so a refusal is no error: the data signature then says "not checked".
        """
        answer = self._send(Command(0x00, SamIns.AUTOMATIC, Fa.VERIFY_PLAIN, data=chunk), "hashing the photo")
        if answer.sw in (Sw.SECURITY_STATUS_NOT_SATISFIED, Sw.UNKNOWN):
            raise StatusWordError(self.name, "hashing the photo", answer.sw, "the SAM lost its session")
        return answer.ok

    def start_deciphering(self) -> None:
        """From here on remove the cipher of the files that are stored under it."""
        self._automatic(Fa.START_DECIPHERING)

    def stop_signature(self) -> None:
        """Said just before the last chunk of the last file."""
        self._automatic(Fa.STOP_SIGNATURE)

    def signature_result(self) -> bytes:
        """Two bytes that are a result, not a status word; what they mean is not public."""
        command = Command(0x00, SamIns.AUTOMATIC, Fa.VERIFY_SIGNATURE)
        with self._removal_named("checking the data signature"):
            return exchange_bytes(self._connection, command.encode())

    def _automatic(self, function: Fa, data: bytes = b"") -> None:
        doing = f"SAM function FA {function:02X}"
        self._expect_ok(self._send(Command(0x00, SamIns.AUTOMATIC, function, data=data), doing), doing)

    def _send(self, command: Command, doing: str) -> Response:
        with self._removal_named(doing):
            return exchange(self._connection, command, doing)

    @contextlib.contextmanager
    def _removal_named(self, doing: str) -> Iterator[None]:
        """The person at the counter must look at the SAM, not at the e-KTP."""
        try:
            yield
        except CardRemovedError as error:
            raise SamMissingError(self.name, doing, "the SAM left its slot, or lost its power") from error

    def _expect_ok(self, answer: Response, doing: str) -> None:
        if not answer.ok:
            raise StatusWordError(self.name, doing, answer.sw)
