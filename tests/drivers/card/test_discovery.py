"""Card and SAM are found in whatever readers a counter has, without a name in the configuration."""

from collections.abc import Mapping

import pytest

from drivers.card.base import CardReader
from drivers.card.discovery import ReaderFinder, answers_as_sam
from drivers.card.ektp.read import read_card
from drivers.card.ektp.sam import SamIns
from drivers.card.emrtd.read import read_passport
from drivers.card.errors import NoCardError, SamLockedError, SamMissingError, SeveralCardsError
from drivers.card.pair import connected_pair
from drivers.card.pcsc import PcscSlots
from drivers.card.reader_profiles import Role, profile_of, profiles, role_of
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import PROFILES, ChipProfile
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.sam_slots import VirtualSamSlots
from drivers.card.virtual.served import VPCD_SAM_PORT, VpcdSlot
from drivers.errors import DeviceNotFoundError
from tests.drivers.card.machine import Machine
from tests.drivers.card.reading import PERSON

PICC, SAM_1, SAM_2 = "ACS ACM1281 1S Dual Reader PICC 01 00", "ACM1281 SAM 0 00 00", "ACM1281 SAM 1 02 00"
HOLDER = synthetic_holder(1)


class Overheard:
    """A card that tells afterwards what it was asked."""

    def __init__(self, inner: Emulator) -> None:
        self._inner = inner
        self.asked: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def power_on(self) -> None:
        self._inner.power_on()

    def power_off(self) -> None:
        self._inner.power_off()

    def reset(self) -> None:
        self._inner.reset()

    def transmit(self, apdu: bytes) -> bytes:
        self.asked.append(apdu)
        return self._inner.transmit(apdu)


def _machine(readers: Mapping[str, Emulator | None]) -> Machine:
    machine = Machine()
    for name, card in readers.items():
        machine.plug(name, card)
    return machine


def _name(pair: tuple[CardReader, CardReader]) -> str:
    with connected_pair(*pair) as (card, sam):
        return read_card(card, sam, invented.sam_secrets()).biodata.name


LAYOUTS: dict[str, dict[str, str | None]] = {
    "each slot an entry": {PICC: "card", SAM_1: None, SAM_2: "sam"},
    "two interfaces": {
        "ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00": "card",
        "ACS ACR1252 Dual Reader [ACR1252 Dual Reader SAM] 01 00": "sam",
    },
    "two interfaces, one name": {
        "ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00": "card",
        "ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 01": "sam",
    },
    "three slots": {"ACS ACR1281U 00 00": "card", "ACS ACR1281U 00 01": None, "ACS ACR1281U 00 02": "sam"},
    "antenna and SAM": {
        "Identiv uTrust 4711 F Reader [uTrust 4711 F CL Reader] (1) 00 00": "card",
        "Identiv uTrust 4711 F Reader [uTrust 4711 F something] (1) 01 00": "sam",
    },
    "switched, slot 1": {"CREATOR CRT-603-CZ1 RF 00 00": "card", "CREATOR CRT-603-CZ1 SAM 01 00": "switched 1"},
    "switched, slot 2": {"CREATOR CRT-603-CZ1 RF 00 00": "card", "CREATOR CRT-603-CZ1 SAM 01 00": "switched 2"},
    "nobody knows these": {"Some Reader 00 00": "sam", "Some Reader 01 00": "card"},
    "SAM in a reader of its own": {
        "ACS ACR1252 Reader [ACR1252 Reader PICC] 00 00": "card",
        "Other Maker Contact 01 00": "sam",
    },
}


def _laid_out(layout: Mapping[str, str | None]) -> Machine:
    made: dict[str | None, Emulator | None] = {
        None: None,
        "card": VirtualEktp(PERSON),
        "sam": VirtualSam(),
        "switched 1": VirtualSamSlots({1: VirtualSam()}),
        "switched 2": VirtualSamSlots({2: VirtualSam()}),
    }
    return _machine({name: made[what] for name, what in layout.items()})


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_card_is_read_whatever_the_reader_is_called(layout: Mapping[str, str | None]) -> None:
    """Plug in, put the SAM in, read: nobody edits a settings file."""
    assert _name(ReaderFinder(_laid_out(layout)).pair()) == "PESERTA UJI SATU"


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_only_a_sam_answers_as_one(chip: ChipProfile) -> None:
    """Neither an e-KTP of any kind nor a passport, whose passwords they would otherwise be sent."""
    cards = {VirtualSam: True, VirtualEktp: False, VirtualPassport: False}
    made: list[Emulator] = [VirtualSam(), VirtualEktp(PERSON, chip), VirtualPassport(HOLDER)]
    for card in made:
        with InProcessReader(card).connect() as connection:
            assert answers_as_sam(connection) is cards[type(card)]


def test_opened_sam_answers_as_one_too() -> None:
    """A slot whose power was never cut."""
    sam = VirtualSam()
    with InProcessReader(sam).connect() as connection:
        connection.transmit(bytes.fromhex("00F0000020") + invented.sam_secrets().password())
        assert answers_as_sam(connection)


def test_looking_for_the_sam_costs_no_try_and_sends_no_password() -> None:
    """Its password goes to the SAM alone, once for the read, and to no other card ever."""
    card, sam, other = Overheard(VirtualEktp(PERSON)), Overheard(VirtualSam()), Overheard(VirtualPassport(HOLDER))
    machine = _machine({"A 00 00": other, "B 01 00": card, "C 02 00": sam})
    finder = ReaderFinder(machine)
    with pytest.raises(SeveralCardsError):
        _name(finder.pair())
    machine.take("A 00 00")
    assert _name(finder.pair()) == "PESERTA UJI SATU"
    opened = [apdu for apdu in sam.asked if apdu[1] == SamIns.OPEN]
    assert len(opened) == 1
    assert not any(apdu[1] == SamIns.OPEN for apdu in card.asked + other.asked)


def test_found_sam_is_not_looked_for_again() -> None:
    """Every further read costs the SAM's slot one connection and no question."""
    sam = Overheard(VirtualSam())
    machine = _machine({"A 00 00": None, "B 01 00": sam})
    machine.lay("A 00 00", VirtualEktp(PERSON))
    finder = ReaderFinder(machine)
    _name(finder.pair())
    before, asked = machine.opened["B 01 00"], len(sam.asked)
    pair = finder.pair()
    assert pair[1].name == "B 01 00"
    _name(pair)
    assert machine.opened["B 01 00"] == before + 1
    assert sam.asked[asked][1] == SamIns.OPEN


def test_finding_the_pair_opens_nothing() -> None:
    """The list of devices is there while a claim is being read; names that tell are told."""
    machine = _laid_out(LAYOUTS["each slot an entry"])
    card, _ = ReaderFinder(machine).pair()
    assert card.name == PICC
    machine = _laid_out(LAYOUTS["two interfaces"])
    assert [reader.name for reader in ReaderFinder(machine).pair()] == list(LAYOUTS["two interfaces"])
    assert not any(machine.opened.values())


def test_two_sams_are_for_a_person_to_tell_apart() -> None:
    """One would be opened with the other one's password; the message names both slots."""
    first, second = Overheard(VirtualSam()), Overheard(VirtualSam())
    finder = ReaderFinder(_machine({PICC: VirtualEktp(PERSON), SAM_1: first, SAM_2: second}))
    with pytest.raises(DeviceNotFoundError, match=r"several answer.*SAM 0.*SAM 1"):
        _name(finder.pair())
    assert not any(apdu[1] == SamIns.OPEN for apdu in first.asked + second.asked)
    machine = _machine({PICC: VirtualEktp(PERSON), SAM_1: VirtualSam(), SAM_2: VirtualSam()})
    assert _name(ReaderFinder(machine, sam_pattern="SAM 1").pair()) == "PESERTA UJI SATU"


def test_refused_sam_is_found_again_and_not_tried_again() -> None:
    """The search asks; only a technician allows another try."""
    sam = VirtualSam(faults=Faults(wrong_pcid=True))
    finder = ReaderFinder(_machine({"A 00 00": VirtualEktp(PERSON), "B 01 00": sam}))
    secrets = invented.sam_secrets()
    for _ in range(3):
        with pytest.raises(SamLockedError), connected_pair(*finder.pair()) as (card, opened):
            read_card(card, opened, secrets)
    assert sam.wrong_passwords == 1


def test_sam_that_is_missing_is_said_before_the_member_looks_for_a_card() -> None:
    """Waiting a minute for a card would not help."""
    finder = ReaderFinder(_machine({"A 00 00": None, "B 01 00": None}))
    with pytest.raises(SamMissingError, match="no slot answers as one"):
        finder.pair()[0].wait_for_card(0.0)


def test_machine_without_readers_says_so() -> None:
    """Nothing is plugged in, which is another thing than a missing SAM."""
    for ask in (ReaderFinder(Machine()).pair, ReaderFinder(Machine()).card_alone):
        with pytest.raises(DeviceNotFoundError, match="none is plugged in"):
            ask()


def test_card_on_either_of_two_readers_is_the_members() -> None:
    """Two readers on one desk; two cards at once are nobody's."""
    machine = _machine({"A 00 00": None, "B 01 00": None, "C 02 00": VirtualSam()})
    finder = ReaderFinder(machine)
    for name in ("A 00 00", "B 01 00"):
        machine.lay(name, VirtualEktp(PERSON))
        card, sam = finder.pair()
        assert card.wait_for_card(0.0)
        assert _name((card, sam)) == "PESERTA UJI SATU"
        machine.take(name)
    with pytest.raises(NoCardError):
        _name(finder.pair())
    machine.lay("A 00 00", VirtualEktp(PERSON))
    machine.lay("B 01 00", VirtualEktp(PERSON))
    with pytest.raises(SeveralCardsError, match=r"A 00 00, B 01 00"):
        _name(finder.pair())


def test_reader_that_goes_and_comes_back_elsewhere_is_found_again() -> None:
    """Its number is another one now; the SAM sits in another slot, too, or is another SAM."""
    machine = _machine({"A 00 00": VirtualEktp(PERSON), "B 01 00": VirtualSam()})
    finder = ReaderFinder(machine)
    assert _name(finder.pair()) == "PESERTA UJI SATU"
    machine.pull("A 00 00")
    machine.pull("B 01 00")
    machine.plug("B 00 00", VirtualSam())
    machine.plug("A 01 00", VirtualEktp(PERSON))
    assert _name(finder.pair()) == "PESERTA UJI SATU"
    machine.lay("B 00 00", VirtualEktp(PERSON))
    machine.lay("A 01 00", VirtualSam())
    assert _name(finder.pair()) == "PESERTA UJI SATU"


def test_passport_is_read_with_a_sam_beside_it_or_none_at_all() -> None:
    """Foreign workers come to counters whose SAM is away for repair, too."""
    for sam in (VirtualSam(), None):
        machine = _machine({"A 00 00": None, "B 01 00": sam})
        finder = ReaderFinder(machine)
        assert not finder.card_alone().wait_for_card(0.0)
        machine.lay("A 00 00", VirtualPassport(HOLDER))
        reader = finder.card_alone()
        assert reader.wait_for_card(0.0)
        with reader.connect() as card:
            assert read_passport(card, HOLDER.key).holder == HOLDER.fields


def test_waiting_for_a_passport_does_not_ask_for_a_sam_over_and_over() -> None:
    """A minute of waiting is a hundred looks: the slots are asked once, and again when a reader comes."""
    machine = _machine({"A 00 00": None, "B 01 00": None})
    finder = ReaderFinder(machine)
    reader = finder.card_alone()
    for _ in range(5):
        assert not reader.wait_for_card(0.0)
    assert set(machine.opened.values()) == {1}
    machine.plug("C 02 00", VirtualSam())
    assert not reader.wait_for_card(0.0)
    assert machine.opened["C 02 00"] == 1


def test_every_model_is_known_by_its_own_name() -> None:
    """The table has what the drivers need of each model, and no name hides another."""
    for profile in profiles():
        assert profile.known in ("seen", "descriptors", "likely")
        assert [other.model for other in profiles() if profile.name in other.name] == [profile.model]
    assert {"ACS ACM1281U-K9", "ACS ACR1281U-C1", "ACS ACR1252U", "Identiv uTrust 4711 F", "CREATOR CRT-603-CZ1"} <= {
        profile.model for profile in profiles()
    }
    assert profile_of("Gemalto PC Twin Reader 00 00") is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        (PICC, Role.CARD),
        (SAM_2, Role.SAM),
        ("ACS ACM1281 1S Dual Reader ICC 00 00", Role.NEITHER),
        ("ACS ACR1281U 00 02", Role.SAM),
        ("ACS ACR1281U 02 00", Role.UNKNOWN),
        ("HID Global OMNIKEY 5422 Smartcard Reader [OMNIKEY 5422CL Smartcard Reader] (OKCM) 00 00", Role.CARD),
        ("HID Global OMNIKEY 5422 Smartcard Reader [OMNIKEY 5422 Smartcard Reader] (OKCM) 01 00", Role.SAM),
        ("Virtual PCD 00 01", Role.UNKNOWN),
    ],
)
def test_slots_are_told_apart_by_their_names(name: str, role: Role) -> None:
    """By interface and slot, never by the number that follows plug order."""
    assert role_of(name) is role


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_pair_is_found_among_the_slots_of_the_real_pcscd() -> None:
    """Two slots of one reader whose names tell nothing, the card laid down first."""
    card, sam = VpcdSlot(VirtualEktp(PERSON)), VpcdSlot(VirtualSam(), port=VPCD_SAM_PORT)
    sam.insert()
    card.insert()
    slots = PcscSlots()
    try:
        names = slots.names()
        for name in names:
            assert slots.reader(name).wait_for_card(10.0)
        finder = ReaderFinder(slots)
        pair = finder.pair()
        assert pair[0].wait_for_card(10.0)
        assert _name(pair) == "PESERTA UJI SATU"
        assert pair[1].name == "Virtual PCD 00 01"
        assert slots.with_cards(names, 0.0) == names
        assert slots.with_cards([*names, "Reader that was unplugged 07 00"], 0.0) == []
    finally:
        card.remove()
        sam.remove()
