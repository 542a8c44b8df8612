"""Whose time a read takes: the device's own, or ours around it.

A card is read at the pace of a real chip (0.2 s an APDU, some eight to ten seconds a card). The device's time is what
card and SAM spent inside their own answers; everything else, transport included, counts as ours. A scanner's capture is
replayed twice from its recording: at the recorded pace, and with a device that answers at once; what the second one
takes is ours.
"""

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.datasets import shared_data
from bench.report import table
from drivers.card.base import CardReader
from drivers.card.ektp.read import read_card
from drivers.card.emrtd.read import read_passport
from drivers.card.pair import connected_pair
from drivers.card.socket_reader import SocketReader
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import REALISTIC_SECONDS_PER_APDU, Faults
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_CARD_PORT, VPCD_SAM_PORT, SocketSlot, VpcdSlot
from drivers.scanner import nb1010, upektc_img, uru4000
from drivers.scanner.base import FingerImage, ScannerSource
from drivers.scanner.calibration import Calibration
from drivers.scanner.usb_players import Recorded
from drivers.scanner.usb_replay import ReplayedUsb
from drivers.scanner.usb_traffic import Session, read_session
from tests.drivers.card.records import chip_template

LEAST_SHARE = 0.95
PACE = Faults(seconds_per_apdu=REALISTIC_SECONDS_PER_APDU)
SAM_PACE = Faults(seconds_per_apdu=0.02)
"""A contact card on T=1 answers a wrap of 30 bytes within that."""


Find = Callable[[ReplayedUsb, Session], list[ScannerSource]]
_KEY_REQUEST = bytes((0x40, uru4000.REQUEST, uru4000.Register.KEY_REQUEST, 0x00))


class Timed:
    """An emulator that knows how long it was busy."""

    def __init__(self, inner: Emulator) -> None:
        self._inner = inner
        self.busy_s, self.answers = 0.0, 0

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
        began = time.perf_counter()
        try:
            return self._inner.transmit(apdu)
        finally:
            self.busy_s += time.perf_counter() - began
            self.answers += 1


@dataclass(frozen=True, slots=True)
class Share:
    """One read or capture."""

    what: str
    total_s: float
    device_s: float | None
    """None where the recording tells no times: then all of the total is ours."""

    @property
    def enough(self) -> bool:
        """The device has its part, or nobody knows its part."""
        return self.device_s is None or self.device_s / self.total_s >= LEAST_SHARE

    def row(self) -> list[str]:
        """For the table."""
        if self.device_s is None:
            return [self.what, "-", "not recorded", f"{1000 * self.total_s:.0f}", "-"]
        ours_ms = 1000 * (self.total_s - self.device_s)
        return [
            self.what,
            f"{self.total_s:.2f}",
            f"{self.device_s:.2f}",
            f"{ours_ms:.0f}",
            f"{self.device_s / self.total_s:.1%}",
        ]


def card_share(way: str, card: Timed, sam: Timed, readers: tuple[CardReader, CardReader]) -> Share:
    """One e-KTP over one transport."""
    with connected_pair(*readers) as (card_connection, sam_connection):
        card.busy_s = sam.busy_s = 0.0
        began = time.perf_counter()
        read_card(card_connection, sam_connection, invented.sam_secrets()).wipe()
        total = time.perf_counter() - began
    return Share(f"e-KTP, {way}", total, card.busy_s + sam.busy_s)


def passport_share() -> Share:
    """One passport in process."""
    holder = synthetic_holder(1)
    chip = Timed(VirtualPassport(holder, PACE))
    with InProcessReader(chip).connect() as card:
        began = time.perf_counter()
        read_passport(card, holder.key).wipe()
        return Share("passport, in process", time.perf_counter() - began, chip.busy_s)


def cards(*, pcsc: bool) -> Iterator[Share]:
    """The same card over every way there is."""
    person = synthetic_person(1, chip_template(1, 2), chip_template(2, 7))

    def made() -> tuple[Timed, Timed]:
        return Timed(VirtualEktp(person, faults=PACE)), Timed(VirtualSam(faults=SAM_PACE))

    card, sam = made()
    yield card_share("in process", card, sam, (InProcessReader(card, "card"), InProcessReader(sam, "SAM")))
    card, sam = made()
    with tempfile.TemporaryDirectory(prefix="share") as name, contextlib.ExitStack() as opened:
        places = Path(name) / "card", Path(name) / "sam"
        for emulator, place in zip((card, sam), places, strict=True):
            slot = SocketSlot(emulator, place)
            opened.callback(slot.close)
            slot.insert()
        yield card_share("socket", card, sam, (SocketReader(places[0]), SocketReader(places[1])))
    if pcsc:
        from drivers.card.pcsc import PcscReader  # noqa: PLC0415 - a machine without pcscd has no library either

        card, sam = made()
        readers = PcscReader("Virtual PCD 00 00"), PcscReader("Virtual PCD 00 01")
        with contextlib.ExitStack() as opened:
            for emulator, port in ((card, VPCD_CARD_PORT), (sam, VPCD_SAM_PORT)):
                vpcd = VpcdSlot(emulator, port=port)
                opened.callback(vpcd.remove)
                vpcd.insert()
            assert all(reader.wait_for_card(10.0) for reader in readers)
            yield card_share("pcscd", card, sam, readers)
    yield passport_share()


def captures() -> Iterator[Share]:
    """Each recording at its own pace beside the same with a device that answers at once."""
    folder = shared_data() / "usb-recordings"
    finders: dict[str, tuple[str, Find]] = {
        "uru4000-4500": ("capture.pcapng", _find_uru4000),
        "nb1010": ("capture.ioctl", lambda bus, _: nb1010.find(bus, _as_if_measured)),
        "upektc_img": ("capture.pcapng", lambda bus, _: upektc_img.find(bus, _as_if_measured)),
    }
    for name, (file, find) in finders.items():
        session = read_session(folder / name / file, folder / name / "device")
        timed = functools.partial(_capture_s, session, find)
        at_once = min(timed(paced=False) for _ in range(5))
        if all(one.ended_s == one.started_s for one in session.transfers):
            yield Share(f"capture, {name}", at_once, None)
            continue
        paced = timed(paced=True)
        yield Share(f"capture, {name}", paced, paced - at_once)


def _as_if_measured(_driver: str, _serial: str | None) -> Calibration:
    return Calibration(500.0, 500.0, None, "replay", None)


def _find_uru4000(bus: ReplayedUsb, session: Session) -> list[ScannerSource]:
    """The reader, with the host's random numbers of the recording: its picture is scrambled with them."""
    drawn = (
        int.from_bytes(one.request.sent[1:5], "little")
        for one in session.transfers
        if one.request.setup[:4] == _KEY_REQUEST and len(one.request.sent) == 5
    )
    return uru4000.find(bus, _as_if_measured, host_value=lambda: next(drawn))


def _capture_s(session: Session, find: Find, *, paced: bool) -> float:
    (source,) = find(ReplayedUsb(Recorded(session, paced=paced)), session)
    began = time.perf_counter()
    with source.open() as scanner:
        picture = scanner.capture(30.0)
        assert isinstance(picture, FingerImage), picture
        picture.wipe()
    return time.perf_counter() - began


def shares(*, pcsc: bool) -> bool:
    """Print them all; whether each device has its share."""
    measured = list(cards(pcsc=pcsc))
    try:
        measured += captures()
    except SystemExit as absent:
        print(f"captures are left out: {absent}")
    print("\nwhose time it is")
    print(table(["", "s", "device s", "ours ms", "device"], [one.row() for one in measured]))
    enough = all(one.enough for one in measured)
    print(
        f"at least {LEAST_SHARE:.0%} device" if enough else f"LESS than {LEAST_SHARE:.0%} device somewhere", flush=True
    )
    return enough
