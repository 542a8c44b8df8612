"""One in-process read with everything that passed written down."""

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.card.ektp.read import ReadStep, read_card
from drivers.card.ektp.record import CardRecord
from drivers.card.ektp.sam import SamSecrets
from drivers.card.pair import connected_pair
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, ChipProfile
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import NO_FAULTS, Faults
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.person import VirtualPerson, synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.errors import DeviceError
from tests.drivers.card.records import chip_template
from tests.drivers.card.scripted import RecordingConnection

PERSON = synthetic_person(1, chip_template(1, 2, 43), chip_template(2, 7, 60))
"""Templates of 288 and 390 bytes: the two worked examples of the read loops."""

CARD, SAM = "C", "S"


def person(**changes: object) -> VirtualPerson:
    """The synthetic person with other things on the chip."""
    return dataclasses.replace(PERSON, **changes)  # type: ignore[arg-type]


@dataclass
class Reading:
    """What came of a read: a record or an error, and every message in order."""

    tape: list[tuple[str, bytes, bytes]] = field(default_factory=list, repr=False)
    steps: list[ReadStep] = field(default_factory=list)
    record: CardRecord | None = None
    error: DeviceError | None = None

    @property
    def whole(self) -> CardRecord:
        """The record of a read that must have succeeded."""
        assert self.error is None, self.error
        assert self.record is not None
        return self.record

    @property
    def commands(self) -> list[str]:
        """Who was sent what, without bodies: ``S 00F00000 37``."""
        return [f"{who} {apdu[:4].hex().upper()} {len(apdu)}" for who, apdu, _ in self.tape]


def read(
    owner: VirtualPerson = PERSON,
    chip: ChipProfile = NXP_A,
    card_faults: Faults = NO_FAULTS,
    sam_faults: Faults = NO_FAULTS,
    *,
    secrets: SamSecrets | None = None,
    card: Emulator | None = None,
    sam: Emulator | None = None,
) -> Reading:
    """Read a virtual card once, in process."""
    reading = Reading()
    card_reader = InProcessReader(card or VirtualEktp(owner, chip, card_faults, sleep=lambda _s: None), "card")
    sam_reader = InProcessReader(sam or VirtualSam(faults=sam_faults, sleep=lambda _s: None), "SAM")
    with contextlib.ExitStack() as stack:
        card_connection, sam_connection = stack.enter_context(connected_pair(card_reader, sam_reader))
        try:
            reading.record = read_card(
                RecordingConnection(CARD, card_connection, reading.tape),
                RecordingConnection(SAM, sam_connection, reading.tape),
                secrets or invented.sam_secrets(),
                reading.steps.append,
            )
        except DeviceError as error:
            reading.error = error
    return reading


class Altered:
    """An emulator some of whose answers are given by a test instead."""

    def __init__(self, inner: Emulator, alter: Callable[[bytes, Callable[[], bytes]], bytes]) -> None:
        self._inner, self._alter = inner, alter

    @property
    def atr(self) -> bytes:
        """The inner one's."""
        return self._inner.atr

    def power_on(self) -> None:
        """The inner one's."""
        self._inner.power_on()

    def power_off(self) -> None:
        """The inner one's."""
        self._inner.power_off()

    def reset(self) -> None:
        """The inner one's."""
        self._inner.reset()

    def transmit(self, apdu: bytes) -> bytes:
        """What the test makes of the command and the true answer, which is asked for only when wanted."""
        return self._alter(apdu, lambda: self._inner.transmit(apdu))
