"""The machine sleeps and wakes: in the middle of a read, and while a card is being waited for."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from smartcard import scard

from drivers.card import pcsc
from drivers.card.discovery import ReaderFinder
from drivers.card.ektp.read import read_card
from drivers.card.errors import CardRemovedError, SamMissingError
from drivers.card.pair import connected_pair
from drivers.card.pcsc import PcscReader, PcscSlots
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_SAM_PORT, VpcdSlot
from drivers.errors import DeviceError, DeviceRemovedError, ServiceDownError
from tests.drivers.card.reading import PERSON
from tests.drivers.scanner.leaks import nothing_left

CARD, SAM = "Virtual PCD 00 00", "Virtual PCD 00 01"
EIGHT_HOURS = 8 * 3600.0
GENEROUS_S = 10.0


@pytest.fixture
def laid_down(pcscd: None) -> Iterator[VirtualSam]:
    """Card and SAM in the virtual reader; gives the SAM."""
    sam = VirtualSam()
    slots = [VpcdSlot(VirtualEktp(PERSON)), VpcdSlot(sam, port=VPCD_SAM_PORT)]
    for slot in slots:
        slot.insert()
    assert PcscReader(CARD).wait_for_card(GENEROUS_S)
    assert PcscReader(SAM).wait_for_card(GENEROUS_S)
    yield sam
    for slot in slots:
        slot.remove()
    while PcscSlots().with_cards([CARD, SAM], 0.0):
        threading.Event().wait(0.05)


def _sleeps_at(call: int, code: int) -> Callable[..., Any]:
    """SCardTransmit of a machine that slept just before that call: every handle has gone stale."""
    real, calls = scard.SCardTransmit, itertools.count(1)

    def transmit(*arguments: Any) -> Any:
        return (code, []) if next(calls) >= call else real(*arguments)

    return transmit


def _read(finder: ReaderFinder) -> str:
    with connected_pair(*finder.pair()) as (card, sam):
        record = read_card(card, sam, invented.sam_secrets())
    record.wipe()
    return record.biodata.name


NAMES = ["reset", "no power", "removed", "reader away", "service away", "stale handle"]
CODES = [
    (scard.SCARD_W_RESET_CARD, CardRemovedError, SamMissingError),
    (scard.SCARD_W_UNPOWERED_CARD, CardRemovedError, SamMissingError),
    (scard.SCARD_W_REMOVED_CARD, CardRemovedError, SamMissingError),
    (scard.SCARD_E_READER_UNAVAILABLE, DeviceRemovedError, DeviceRemovedError),
    (scard.SCARD_E_NO_SERVICE, ServiceDownError, ServiceDownError),
    (scard.SCARD_E_INVALID_HANDLE, ServiceDownError, ServiceDownError),
]


@pytest.mark.pcsc
@pytest.mark.parametrize(("code", "of_card", "of_sam"), CODES, ids=NAMES)
def test_read_that_was_slept_through_names_its_cause_and_the_next_one_works(
    laid_down: VirtualSam,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    of_card: type[DeviceError],
    of_sam: type[DeviceError],
) -> None:
    """Whichever of the two notices first; the SAM is opened again, and no try is lost."""
    finder = ReaderFinder(PcscSlots())
    assert _read(finder) == "PESERTA UJI SATU"
    with nothing_left():
        # The third command goes to the card, the first one to the SAM.
        for call, kind in ((3, of_card), (1, of_sam)):
            with monkeypatch.context() as asleep:
                asleep.setattr(scard, "SCardTransmit", _sleeps_at(call, code))
                with pytest.raises(kind) as caught:
                    _read(finder)
            assert caught.value.retryable
            assert _read(finder) == "PESERTA UJI SATU"
    assert laid_down.wrong_passwords == 0


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_clock_that_jumps_while_waiting_ends_the_wait_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some clocks count the hours of sleep: the wait is over then, the next one is as long as it should be."""
    while PcscReader(CARD).wait_for_card(0.0):
        threading.Event().wait(0.05)
    ticks = itertools.count()
    with monkeypatch.context() as slept:
        jumping = SimpleNamespace(monotonic=lambda: time.monotonic() + EIGHT_HOURS * (next(ticks) > 0))
        slept.setattr(pcsc, "time", jumping)
        assert not PcscReader(CARD).wait_for_card(GENEROUS_S)
        ticks = itertools.count()
        assert PcscSlots().with_cards([CARD, SAM], GENEROUS_S) == []
    slot = VpcdSlot(VirtualEktp(PERSON))
    late = threading.Timer(0.3, slot.insert)
    late.start()
    try:
        assert PcscReader(CARD).wait_for_card(GENEROUS_S)
    finally:
        late.join()
        slot.remove()
