"""What can go wrong with a virtual card or SAM, asked for by name.

Faults of the wire (torn, flipped, replayed, slow) live here; faults of content are read by the card.
Each fault of the wire happens once: the card that was pulled out works when it is put back.
"""

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass

REALISTIC_SECONDS_PER_APDU = 0.2
"""Makes a whole read last the 8 to 10 s of the field."""


class TornOffError(Exception):
    """The card left the reader in the middle of a command: no answer will come."""


class MissingFinger(enum.Enum):
    """How a card says that there is no finger; the encoding of real cards is not public."""

    LENGTH_ZERO = "length_zero"
    TINY_RECORD = "tiny_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults of one card or SAM. Commands are counted from 1 since power-on; 0 means never."""

    tear_at: int = 0
    """Pulled out instead of answering the n-th command."""
    short_answer_at: int = 0
    """The reader hands on one byte as the n-th answer."""
    flip_bit_at: int = 0
    """One bit in the middle of the n-th answer is flipped."""
    replay_at: int = 0
    """The n-th answer is the one before it again."""
    seconds_per_apdu: float = 0.0

    wrong_mac_at: int = 0
    """The n-th secured answer carries a wrong MAC (card)."""
    inner_status_at: int = 0
    """The n-th secured answer says 6581 inside secure messaging (card)."""
    truncated_file: int = 0
    """File id whose last chunk comes back one block short (card)."""
    unknown_chip: bool = False
    """SELECT of the application answers 6A82 (card)."""
    two_cards: bool = False
    """Another card lies on the reader as well (card)."""
    missing_left_finger: MissingFinger | None = None
    missing_right_finger: MissingFinger | None = None
    wrong_template_length: bool = False
    """The first template's length field disagrees with its file (card)."""
    photo_without_soi: bool = False
    biodata_fields: int = 21
    """20 drops the last field, 22 adds one (card)."""
    broken_data_signature: bool = False
    """The signature on the card is over other data."""

    wrong_pcid: bool = False
    """The SAM expects another PCID (SAM)."""
    signature_result: bytes | None = None
    """What ``FA 04`` answers whatever was hashed (SAM)."""


NO_FAULTS = Faults()


class FaultInjector:
    """Sits between the wire and an emulator and does what was asked for."""

    def __init__(self, faults: Faults, sleep: Callable[[float], None] = time.sleep) -> None:
        self._faults, self._sleep = faults, sleep
        self._count = 0
        self._previous = b""
        self._done: set[str] = set()

    def power_cycle(self) -> None:
        """Commands are counted afresh."""
        self._count = 0
        self._previous = b""

    def answer(self, apdu: bytes, respond: Callable[[bytes], bytes]) -> bytes:
        """The emulator's answer, altered where a fault is due. Raises TornOffError when the card is pulled."""
        self._count += 1
        if self._faults.seconds_per_apdu:
            self._sleep(self._faults.seconds_per_apdu)
        if self._due("tear_at"):
            raise TornOffError
        answer = previous = respond(apdu)
        if self._due("replay_at"):
            answer = self._previous or answer
        if self._due("flip_bit_at"):
            middle = len(answer) // 2
            answer = answer[:middle] + bytes([answer[middle] ^ 1]) + answer[middle + 1 :]
        if self._due("short_answer_at"):
            answer = answer[:1]
        self._previous = previous
        return answer

    def _due(self, fault: str) -> bool:
        if getattr(self._faults, fault) != self._count or fault in self._done:
            return False
        self._done.add(fault)
        return True
