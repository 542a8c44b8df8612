"""PC/SC by its plain functions: readers by name, a service that goes and comes back, cards that come and go."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.card.discovery import match_reader
from drivers.card.errors import NoCardError
from drivers.card.pair import SwitchedSlot
from drivers.card.pcsc import (
    PcscReader,
    ReaderEvent,
    ReaderEventKind,
    ReaderWatch,
    _Caller,
    list_readers,
    open_pair,
)
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.served import VpcdSlot
from drivers.errors import DeviceNotFoundError, DeviceProtocolError
from tests.drivers.card.reading import PERSON

ROOT = Path(__file__).resolve().parents[3]
CARD, SAM = "Virtual PCD 00 00", "Virtual PCD 00 01"
ACM1281 = ["ACS ACM1281 1S Dual Reader PICC 01 00", "ACS ACM1281 1S Dual Reader SAM 0 00 00"]
GENEROUS_S = 10.0


def test_reader_is_chosen_by_what_its_name_contains() -> None:
    """Numbers at the end follow the order of plugging in, so they are not needed."""
    assert match_reader(ACM1281, "PICC") == ACM1281[0]
    assert match_reader(ACM1281, "SAM") == ACM1281[1]


def test_pattern_that_fits_two_readers_names_both() -> None:
    """Guessing would send the SAM's password to a stranger's card."""
    with pytest.raises(DeviceNotFoundError, match="2 readers match"):
        match_reader(ACM1281, "ACM1281")


@pytest.mark.parametrize(("names", "there"), [([], "none"), (ACM1281, "PICC")])
def test_pattern_that_fits_nothing_says_what_is_there(names: list[str], there: str) -> None:
    """The technician sees the names to choose from."""
    with pytest.raises(DeviceNotFoundError, match=f"plugged in: .*{there}"):
        match_reader(names, "CRT-603")


def test_a_call_the_library_chokes_on_does_not_make_the_reader_look_stuck() -> None:
    """Its cause comes back to whoever called, and the next call is answered."""
    caller = _Caller("any", GENEROUS_S)

    def chokes() -> None:
        raise SystemError("returned a result with an exception set")

    with pytest.raises(DeviceProtocolError, match="SystemError") as caught:
        caller.call(chokes, doing="connecting")
    assert isinstance(caught.value.__cause__, SystemError)
    assert caller.call(lambda: "answered", doing="connecting") == "answered"
    assert not caller.stuck
    caller.stop()


@pytest.mark.parametrize("slot", [0, 3])
def test_slot_that_no_reader_has_is_our_mistake(slot: int) -> None:
    """Only 1 and 2 can be switched to."""
    with pytest.raises(ValueError, match="slots 1 and 2"):
        SwitchedSlot(PcscReader("any"), slot)


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_listing_readers_opens_none() -> None:
    """Both slots of the virtual reader, empty as they are."""
    assert list_readers() == [CARD, SAM]


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_card_and_sam_may_not_be_the_same_reader() -> None:
    """A configuration copied from one line to the next."""
    with pytest.raises(DeviceNotFoundError, match="same reader"):
        open_pair(CARD, CARD)


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_pair_is_found_by_configuration() -> None:
    """With a slot switch where the reader needs one."""
    card, sam = open_pair(CARD, SAM)
    assert (card.name, sam.name) == (CARD, SAM)
    assert isinstance(open_pair(CARD, SAM, slot_switch=2)[1], SwitchedSlot)


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_reader_that_is_not_plugged_in_is_not_found() -> None:
    """Neither as "no card" nor as a time-out."""
    for action in (PcscReader("CRT-603").connect, lambda: PcscReader("CRT-603").wait_for_card(0.1)):
        with pytest.raises(DeviceNotFoundError):
            action()


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_watch_reports_readers_and_cards_as_they_come_and_go() -> None:
    """What the operator's screen follows; the ATR comes along as a hint."""
    events: list[ReaderEvent] = []
    watch = ReaderWatch(events.append)
    slot = VpcdSlot(VirtualEktp(PERSON))
    watch.start()
    try:
        _eventually(lambda: ReaderEvent(ReaderEventKind.READER_ADDED, SAM) in events)
        slot.insert()
        inserted = ReaderEvent(ReaderEventKind.CARD_INSERTED, CARD, VirtualEktp(PERSON).atr)
        _eventually(lambda: inserted in events)
        slot.remove()
        _eventually(lambda: ReaderEvent(ReaderEventKind.CARD_REMOVED, CARD) in events)
    finally:
        slot.remove()
        watch.stop()
    kinds = [event.kind for event in events]
    assert kinds[:3] == [ReaderEventKind.SERVICE_UP, ReaderEventKind.READER_ADDED, ReaderEventKind.READER_ADDED]
    assert kinds.count(ReaderEventKind.CARD_INSERTED) == kinds.count(ReaderEventKind.CARD_REMOVED) == 1


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_watch_reports_a_card_that_already_lies_there() -> None:
    """The agent was started after the member had laid the card down."""
    slot = VpcdSlot(VirtualEktp(PERSON))
    slot.insert()
    events: list[ReaderEvent] = []
    watch = ReaderWatch(events.append)
    try:
        assert PcscReader(CARD).wait_for_card(GENEROUS_S)
        watch.start()
        _eventually(lambda: any(event.kind is ReaderEventKind.CARD_INSERTED for event in events))
    finally:
        watch.stop()
        slot.remove()
    _eventually(lambda: not PcscReader(CARD).wait_for_card(0.0))
    with pytest.raises(NoCardError):
        PcscReader(CARD).connect()


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_agent_survives_pcscd_stopping_and_coming_back() -> None:
    """Stopped in an orderly way and killed: the cause is named, everything is reported gone, then back, and reads."""
    program = [sys.executable, "-m", "tests.drivers.card.pcscd_restart"]
    run = subprocess.run(["unshare", "--mount", "--net", "--", *program], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    story: dict[str, list[str]] = json.loads(run.stdout)
    assert story["not started"] == ["service_down"]
    assert story["asked while down"] == ["service_down"] * 3
    assert story["started"] == ["service_up", f"reader_added {CARD}", f"reader_added {SAM}"]
    assert story["card laid on"] == [f"card_inserted {CARD}"]
    assert story["SAM put in"] == [f"card_inserted {SAM}"]
    assert story["read"] == ["PESERTA UJI SATU"]
    gone = [f"card_removed {CARD}", f"card_removed {SAM}", f"reader_removed {CARD}", f"reader_removed {SAM}"]
    back = [f"card_inserted {CARD}", f"card_inserted {SAM}", f"reader_added {CARD}", f"reader_added {SAM}"]
    for manner in ("terminate", "kill"):
        assert story[f"asked after {manner}"] == ["service_down"]
        assert story[manner] == [*gone, "service_down"]
        assert story[f"back after {manner}"] == [*back, "service_up"]
        assert story[f"read after {manner}"] == ["PESERTA UJI SATU"]
    assert story["card taken"] == [f"card_removed {CARD}"]
    assert story["threads left"] == []
