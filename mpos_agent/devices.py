"""The devices of this counter: one card station (reader and SAM), one finger station (scanner).

A station hands its device to one claim at a time and says so instead of queueing: two people cannot share a
reader. Which reader and which scanner is decided in ``wiring``; here they are interfaces.
"""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from drivers.card.base import CardReader
from drivers.card.ektp.read import ReadStep, read_card
from drivers.card.ektp.record import CardRecord
from drivers.card.ektp.sam_secrets import SamSecrets
from drivers.card.emrtd.mrz import MrzKey
from drivers.card.emrtd.read import PassportRecord, PassportStep, read_passport
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.pair import connected_pair
from drivers.errors import DeviceError, DeviceNotFoundError
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo, ScannerSource, ScannerState
from mpos_agent.capture.auto_capture import AutoCapture
from mpos_agent.capture.guidance import Guidance, Tell
from mpos_agent.errors import ClaimBusyError, StoppingError

log = logging.getLogger(__name__)

_Record = TypeVar("_Record")
_Step = TypeVar("_Step")

_POSITIONS = range(1, 11)
# How soon a wait notices that it is to stop: short enough for a person, long enough to cost nothing.
_SLICE_S = 0.5
# A card that is laid down enters the field, leaves it and settles. One that was exchanged for another within the
# 0.4 s between two looks of pcscd shows the same: the first command fails, a look later it is there.
_SETTLED_S = 0.5
_BACK_WITHIN_S = 1.0
_NOTHING_READ_YET = (ReadStep.OPEN_SAM, ReadStep.SELECT, PassportStep.SELECT)


def _unheard(_guidance: Guidance) -> None:
    """Nobody stands before the scanner's screen."""


class AnyOf(threading.Event):
    """Set as soon as one of several events is: the claim's own, the caller's leaving, the agent's stop."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        """Whether one of them is set."""
        return any(event.is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for any of them, looking a few times a second."""
        waited = 0.0
        while not self.is_set() and (timeout is None or waited < timeout):
            step = _SLICE_S if timeout is None else min(_SLICE_S, timeout - waited)
            self._events[0].wait(step)
            waited += step
        return self.is_set()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CardState:
    """What can be said of reader and SAM without touching a card."""

    card_reader: str | None
    sam_reader: str | None
    problem: DeviceError | None
    """Why there is no pair of them; None when both were found."""


class CardStation:
    """Reader and SAM together: one complete read at a time."""

    def __init__(
        self,
        *,
        pair: Callable[[], tuple[CardReader, CardReader]],
        alone: Callable[[], CardReader],
        secrets: Callable[[], SamSecrets],
        wait_s: float,
        closing: threading.Event,
    ) -> None:
        self._pair, self._alone, self._secrets = pair, alone, secrets
        self._wait_s, self._closing = wait_s, closing
        self._in_use = threading.Lock()
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """End the running wait: whoever asked for the card has gone."""
        self._interrupted.set()

    def read(self, progress: Callable[[ReadStep], None], stop: threading.Event) -> CardRecord:
        """Wait for a card and read it; the record is the caller's to wipe.

        Raises
        ------
        ClaimBusyError
            Another claim is reading a card.
        NoCardError
            Nobody laid a card down in time.
        StoppingError
            ``stop`` was set while waiting, the wait was interrupted, or the agent is closing.
        DeviceError
            Whatever reader, SAM or card did.
        """
        with _held(self._in_use, "the card reader is in use"):
            self._interrupted.clear()
            stop = AnyOf(stop, self._interrupted, self._closing)
            secrets = self._secrets()
            card_reader, sam_reader = self._pair()
            self._wait(card_reader, stop)

            def read(progress: Callable[[ReadStep], None]) -> CardRecord:
                with connected_pair(card_reader, sam_reader) as (card, sam):
                    return read_card(card, sam, secrets, progress)

            return _once_it_lies_still(card_reader, read, progress, stop)

    def read_passport(
        self, key: MrzKey, progress: Callable[[PassportStep], None], stop: threading.Event
    ) -> PassportRecord:
        """Wait for a passport and read it, without a SAM; the record is the caller's to wipe. As :meth:`read`."""
        with _held(self._in_use, "the card reader is in use"):
            self._interrupted.clear()
            stop = AnyOf(stop, self._interrupted, self._closing)
            reader = self._alone()
            self._wait(reader, stop)

            def read(progress: Callable[[PassportStep], None]) -> PassportRecord:
                with reader.connect() as card:
                    return read_passport(card, key, progress)

            return _once_it_lies_still(reader, read, progress, stop)

    @property
    def in_use(self) -> bool:
        """A read is going on, or a card is being waited for."""
        return self._in_use.locked()

    def state(self) -> CardState:
        """Look for reader and SAM; opens nothing."""
        try:
            card_reader, sam_reader = self._pair()
        except DeviceError as problem:
            return CardState(card_reader=None, sam_reader=None, problem=problem)
        return CardState(card_reader=card_reader.name, sam_reader=sam_reader.name, problem=None)

    def _wait(self, reader: CardReader, stop: threading.Event) -> None:
        slices = max(1, round(self._wait_s / _SLICE_S))
        for _ in range(slices):
            if stop.is_set():
                raise StoppingError
            if reader.wait_for_card(_SLICE_S):
                return
        raise NoCardError(reader.name, "wait for a card")


def _once_it_lies_still(
    reader: CardReader,
    read: Callable[[Callable[[_Step], None]], _Record],
    progress: Callable[[_Step], None],
    stop: threading.Event,
) -> _Record:
    """Read; a second time, from the start, where the card left before it gave anything and is back a moment later."""
    told: list[_Step] = []

    def tell(step: _Step) -> None:
        told.append(step)
        progress(step)

    try:
        return read(tell)
    except (CardRemovedError, NoCardError) as error:
        begun = any(step not in _NOTHING_READ_YET for step in told)
        if begun or stop.wait(_SETTLED_S) or not reader.wait_for_card(_BACK_WITHIN_S):
            raise
        log.info("read again, the card did not lie still: %s", error)
    return read(progress)


class FingerStation:
    """The scanner: opened for the first attempt, kept open between attempts, closed on any trouble."""

    def __init__(
        self, find: Callable[[], Sequence[ScannerSource]], auto: AutoCapture, closing: threading.Event
    ) -> None:
        self._find, self._auto, self._closing = find, auto, closing
        self._in_use = threading.Lock()
        self._interrupted = threading.Event()
        self._scanner: Scanner | None = None

    def interrupt(self) -> None:
        """End the running attempt: whoever asked for the finger has gone."""
        self._interrupted.set()

    def capture(
        self, timeout_s: float, stop: threading.Event, tell: Tell = _unheard, *, finger: int = 0
    ) -> FingerImage | PlaceAgain:
        """Wait for a touch and give its picture, which is the caller's to wipe; nobody is given it again.

        Parameters
        ----------
        finger : which one is asked for, ISO/IEC 19794 position; 0 when the card does not say.

        Raises
        ------
        ClaimBusyError
            Another claim is using the scanner.
        DeviceError
            Whatever the scanner did; it is closed, and opened anew by the next attempt.
        """
        with _held(self._in_use, "the scanner is in use"):
            self._interrupted.clear()
            try:
                if self._scanner is None:
                    self._scanner = self._source(None).open()
                if finger in _POSITIONS:
                    self._scanner.expect(finger)
                return self._auto.take(self._scanner, timeout_s, AnyOf(stop, self._interrupted, self._closing), tell)
            except DeviceError:
                self._close()
                raise

    def picture_as_it_is(
        self, unit: str | None, timeout_s: float, stop: threading.Event, tell: Tell = _unheard, *, raw: bool
    ) -> tuple[ScannerInfo, FingerImage | PlaceAgain]:
        """A picture for looking at or measuring the scanner, never for a claim; the caller's to wipe.

        Parameters
        ----------
        unit : path or serial number of the scanner; None: the one a claim would use.
        raw : as the sensor gives it, also where its geometry is not known.

        Raises
        ------
        ClaimBusyError, DeviceError
            As :meth:`capture`.
        """
        with _held(self._in_use, "the scanner is in use"):
            self._interrupted.clear()
            # Opened for this alone: a claim's scanner is not open raw, and may be another one.
            self._close()
            with self._source(unit).open(raw=raw) as scanner:
                stop = AnyOf(stop, self._interrupted, self._closing)
                if not raw:
                    return scanner.info, self._auto.take(scanner, timeout_s, stop, tell)
                tell(Guidance.PLACE_FINGER)
                picture = scanner.capture(timeout_s, stop)
                if isinstance(picture, FingerImage):
                    self._auto.hand_out(picture)
                return scanner.info, picture

    def about(self, unit: str | None) -> ScannerInfo:
        """The scanner of this path or serial number, or the one a claim would use. Raises DeviceError."""
        return self._source(unit).info

    def found(self) -> tuple[ScannerInfo, ...]:
        """Scanners that are plugged in, without opening any; the first is the one a claim would use."""
        return tuple(source.info for source in self._seen())

    def close(self) -> None:
        """Release the scanner. Waits for a running attempt, which ``stop`` has ended."""
        with self._in_use:
            self._close()
            self._auto.forget()

    def _source(self, unit: str | None) -> ScannerSource:
        sources = self._seen()
        if unit is not None:
            sources = [source for source in sources if unit in (source.info.path, source.info.serial)]
        if not sources:
            raise DeviceNotFoundError("scanner", "look for a scanner", unit or "none is plugged in")
        return sources[0]

    def _seen(self) -> list[ScannerSource]:
        """What is plugged in, the one a claim would use first. What this station holds itself is not busy."""
        held, found = self._scanner, list(self._find())
        for source in found:
            if held is not None and (source.info.path, source.info.state) == (held.info.path, ScannerState.BUSY):
                source.info = dataclasses.replace(source.info, state=ScannerState.READY)
        return sorted(found, key=_least_trouble)

    def _close(self) -> None:
        if self._scanner is not None:
            self._scanner.close()
            self._scanner = None


def _least_trouble(source: ScannerSource) -> tuple[bool, bool]:
    """Sorts what can be used now first, of that what is calibrated; among equals the drivers' order stays."""
    return source.info.state is not ScannerState.READY, source.info.calibration is None


@contextlib.contextmanager
def _held(lock: threading.Lock, why: str) -> Iterator[None]:
    if not lock.acquire(blocking=False):
        raise ClaimBusyError(why)
    try:
        yield
    finally:
        lock.release()
