"""Card readers through PC/SC: the only importer of pyscard, and of it only the plain functions.

pyscard's own monitors are not used: when pcscd stops, their threads end without telling anybody. The rules
here come from trying pcscd 1.9.9 with the virtual reader, and from the PC/SC workgroup's specification.
"""

import contextlib
import enum
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from smartcard import scard

from drivers.card.base import CardConnection, CardReader
from drivers.card.discovery import match_reader
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.pair import SwitchedSlot
from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
    ServiceDownError,
)

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 30.0
"""One PC/SC call. A card may ask for 4.9 s (FWI 14) and extend that several times; readers give up within
20 s by themselves, so a call that lasts longer hangs in the driver and would hang the counter with it."""

STATUS_ROUND_S = 2.0
"""One wait for changes. Readers may have come or gone unnoticed where plug events are not delivered."""

BACK_OFF_S = (0.25, 0.5, 1.0, 2.0)
"""Pauses while pcscd is away: back within half a second after a restart, then without burden."""

_PNP = "\\\\?PnP?\\Notification"
_COUNTER_SHIFT = 16

_SERVICE_DOWN = (
    scard.SCARD_E_NO_SERVICE,
    scard.SCARD_E_SERVICE_STOPPED,
    scard.SCARD_F_COMM_ERROR,
    scard.SCARD_E_INVALID_HANDLE,
)
_CARD_GONE = (
    scard.SCARD_W_REMOVED_CARD,
    scard.SCARD_W_RESET_CARD,
    scard.SCARD_E_NO_SMARTCARD,
    scard.SCARD_E_NOT_TRANSACTED,
    scard.SCARD_E_COMM_DATA_LOST,
)
_NO_POWER = (scard.SCARD_W_UNRESPONSIVE_CARD, scard.SCARD_W_UNPOWERED_CARD)
"""Before connecting: as good as no card. In the middle of a read: the machine slept, or the contact is bad."""
_BY_CODE: dict[int, type[DeviceError]] = {
    scard.SCARD_E_SHARING_VIOLATION: DeviceBusyError,
    scard.SCARD_E_TIMEOUT: DeviceTimeoutError,
    scard.SCARD_E_NO_ACCESS: DevicePermissionError,
    scard.SCARD_W_SECURITY_VIOLATION: DevicePermissionError,
    scard.SCARD_E_PROTO_MISMATCH: DeviceProtocolError,
    **dict.fromkeys(_NO_POWER, NoCardError),
    **dict.fromkeys(_SERVICE_DOWN, ServiceDownError),
}


def _translated(code: int, reader: str, doing: str, *, in_use: bool) -> DeviceError:
    """The error for a return code; what counts as removed depends on whether a card was connected."""
    detail = f"{scard.SCardGetErrorMessage(code).strip()} (0x{code & 0xFFFFFFFF:08X})"
    if code in _CARD_GONE or (in_use and code in _NO_POWER):
        return (CardRemovedError if in_use else NoCardError)(reader, doing, detail)
    if code in (scard.SCARD_E_UNKNOWN_READER, scard.SCARD_E_READER_UNAVAILABLE):
        return (DeviceRemovedError if in_use else DeviceNotFoundError)(reader, doing, detail)
    return _BY_CODE.get(code, DeviceProtocolError)(reader, doing, detail)


@contextlib.contextmanager
def _context(reader: str, doing: str) -> Iterator[Any]:
    """A PC/SC context of its own: contexts belong to one thread, and the old one is useless after a restart."""
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    if code != scard.SCARD_S_SUCCESS:
        raise _translated(code, reader, doing, in_use=False)
    try:
        yield context
    finally:
        scard.SCardReleaseContext(context)


def _list(context: Any) -> list[str]:
    code, names = scard.SCardListReaders(context, [])
    if code == scard.SCARD_E_NO_READERS_AVAILABLE:
        return []
    if code != scard.SCARD_S_SUCCESS:
        raise _translated(code, "PC/SC", "listing readers", in_use=False)
    return list(names)


def list_readers() -> list[str]:
    """Names of the readers and slots that are plugged in; opens none of them.

    Raises
    ------
    ServiceDownError
        pcscd is not running.
    """
    with _context("PC/SC", "listing readers") as context:
        return _list(context)


def open_pair(card_pattern: str, sam_pattern: str, slot_switch: int | None = None) -> tuple[CardReader, CardReader]:
    """The reader for the e-KTP and the one for the SAM, found by name, not yet connected.

    ``slot_switch`` is the SAM's slot (1 or 2) where one reader entry serves several.

    Raises
    ------
    DeviceNotFoundError, ServiceDownError
    """
    names = list_readers()
    card, sam = match_reader(names, card_pattern), match_reader(names, sam_pattern)
    if card == sam:
        raise DeviceNotFoundError(sam_pattern, "choosing a reader", "card and SAM are the same reader")
    sam_reader: CardReader = PcscReader(sam)
    if slot_switch is not None:
        sam_reader = SwitchedSlot(sam_reader, slot_switch)
    return PcscReader(card), sam_reader


class PcscSlots:
    """Every reader pcscd knows, for :class:`~drivers.card.discovery.ReaderFinder`."""

    def names(self) -> list[str]:
        """As :func:`list_readers`."""
        return list_readers()

    def reader(self, name: str) -> CardReader:
        """One of them."""
        return PcscReader(name)

    def with_cards(self, names: Sequence[str], timeout_s: float) -> list[str]:
        """Those that hold an answering card, as soon as one does; a reader that goes away meanwhile holds none.

        A slot with a card that does not answer is left out: some readers report an empty SAM slot so.
        """
        doing = "waiting for a card"
        if not names:
            return []
        end = time.monotonic() + timeout_s
        states = dict.fromkeys(names, scard.SCARD_STATE_UNAWARE)
        with _context("PC/SC", doing) as context:
            while True:
                wait_s = min(STATUS_ROUND_S, max(0.0, end - time.monotonic()))
                code, now = scard.SCardGetStatusChange(context, int(wait_s * 1000), list(states.items()))
                if code == scard.SCARD_E_UNKNOWN_READER:
                    return []
                if code not in (scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT):
                    raise _translated(code, "PC/SC", doing, in_use=False)
                if code == scard.SCARD_S_SUCCESS:
                    states = {name: state & ~scard.SCARD_STATE_CHANGED for name, state, _ in now}
                    there = [name for name, state in states.items() if _answering(state)]
                    if there:
                        return there
                if time.monotonic() >= end:
                    return []


def _answering(state: int) -> bool:
    return bool(state & scard.SCARD_STATE_PRESENT) and not state & scard.SCARD_STATE_MUTE


class PcscReader(CardReader):
    """A reader or slot known to pcscd."""

    def __init__(self, name: str, call_timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.name = name
        self._call_timeout_s = call_timeout_s

    def connect(self) -> CardConnection:
        """Exclusive connection with one transaction around everything."""
        return _PcscConnection(self.name, self._call_timeout_s)

    def wait_for_card(self, timeout_s: float) -> bool:
        """True as soon as a card is present, also one that does not answer: connecting then says so."""
        doing = "waiting for a card"
        end = time.monotonic() + timeout_s
        state = scard.SCARD_STATE_UNAWARE
        with _context(self.name, doing) as context:
            while True:
                wait_s = min(STATUS_ROUND_S, max(0.0, end - time.monotonic()))
                code, states = scard.SCardGetStatusChange(context, int(wait_s * 1000), [(self.name, state)])
                if code not in (scard.SCARD_S_SUCCESS, scard.SCARD_E_TIMEOUT):
                    raise _translated(code, self.name, doing, in_use=False)
                if code == scard.SCARD_S_SUCCESS:
                    state = states[0][1] & ~scard.SCARD_STATE_CHANGED
                    if state & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE):
                        raise DeviceNotFoundError(self.name, doing, "the reader is not plugged in")
                    if state & scard.SCARD_STATE_PRESENT:
                        return True
                if time.monotonic() >= end:
                    return False


class _Caller:
    """Makes PC/SC calls in a thread of its own, for they cannot be cancelled once they hang in a driver."""

    def __init__(self, reader: str, timeout_s: float) -> None:
        self._reader, self._timeout_s = reader, timeout_s
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()
        self.stuck = False
        threading.Thread(target=self._run, name=f"pcsc {reader}", daemon=True).start()

    def call(self, function: Callable[..., Any], *arguments: object, doing: str) -> Any:
        """What the function returns; DeviceProtocolError when it raises; DeviceTimeoutError when it hangs, and from
        then on at once.

        Once stuck, calls still queue up: should the driver let go one day, the card is disconnected then.
        """
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._jobs.put((lambda: function(*arguments), answer))
        if not self.stuck:
            with contextlib.suppress(queue.Empty):
                returned, raised = answer.get(timeout=self._timeout_s)
                if raised is not None:
                    raise DeviceProtocolError(self._reader, doing, type(raised).__name__) from raised
                return returned
            self.stuck = True
        raise DeviceTimeoutError(self._reader, doing, f"no answer within {self._timeout_s:g} s; unplug the reader")

    def stop(self) -> None:
        """End the thread after what it is doing."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, answer = job
            try:
                answer.put((function(), None))
            # pyscard raises SystemError and TypeError where the library gave it nonsense. Were the thread to end of
            # it, every later call would look like a driver that hangs.
            except Exception as error:  # noqa: BLE001 - handed to whoever called, nothing is lost
                answer.put((None, error))


class _PcscConnection(CardConnection):
    """A connected card. After a failed command it is left as it is, otherwise reset when closed."""

    def __init__(self, name: str, call_timeout_s: float) -> None:
        self.reader = name
        self._caller = _Caller(name, call_timeout_s)
        self._context: Any = None
        self._card: Any = None
        self._failed = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        doing = "connecting"
        code, context = self._caller.call(scard.SCardEstablishContext, scard.SCARD_SCOPE_USER, doing=doing)
        if code != scard.SCARD_S_SUCCESS:
            raise _translated(code, self.reader, doing, in_use=False)
        self._context = context
        code, card, self._protocol = self._caller.call(
            scard.SCardConnect,
            context,
            self.reader,
            scard.SCARD_SHARE_EXCLUSIVE,
            scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1,
            doing=doing,
        )
        # Tested before anything else uses the handle: pyscard raises SystemError on one that was never valid.
        if code != scard.SCARD_S_SUCCESS:
            raise _translated(code, self.reader, doing, in_use=False)
        self._card = card
        code = self._caller.call(scard.SCardBeginTransaction, card, doing=doing)
        if code != scard.SCARD_S_SUCCESS:
            self._failed = True
            raise _translated(code, self.reader, doing, in_use=False)
        code, _, _, _, atr = self._caller.call(scard.SCardStatus, card, doing=doing)
        if code != scard.SCARD_S_SUCCESS:
            self._failed = True
            raise _translated(code, self.reader, doing, in_use=False)
        self.atr = bytes(atr)

    def transmit(self, apdu: bytes) -> bytes:
        doing = "sending a command"
        if self._card is None:
            raise CardRemovedError(self.reader, doing, "the connection is closed")
        try:
            code, answer = self._caller.call(scard.SCardTransmit, self._card, self._protocol, list(apdu), doing=doing)
        except DeviceError:
            self._failed = True
            raise
        if code != scard.SCARD_S_SUCCESS:
            self._failed = True
            raise _translated(code, self.reader, doing, in_use=True)
        if len(answer) < 2:
            self._failed = True
            # A card torn off in the middle of a command shows as success with nothing in it.
            raise CardRemovedError(self.reader, doing, "success with fewer than two bytes")
        return bytes(answer)

    def close(self) -> None:
        # RESET before pcscd has noticed a removal would leave the slot "empty" for the next card; LEAVE does not.
        disposition = scard.SCARD_LEAVE_CARD if self._failed else scard.SCARD_RESET_CARD
        steps: list[tuple[Callable[..., int], tuple[Any, ...]]] = []
        if self._card is not None:
            steps.append((scard.SCardEndTransaction, (self._card, scard.SCARD_LEAVE_CARD)))
            steps.append((scard.SCardDisconnect, (self._card, disposition)))
        if self._context is not None:
            steps.append((scard.SCardReleaseContext, (self._context,)))
        self._card = self._context = None
        for function, arguments in steps:
            try:
                code = self._caller.call(function, *arguments, doing="disconnecting")
            except DeviceTimeoutError as error:
                log.warning("%s", error)
                continue
            if code != scard.SCARD_S_SUCCESS:
                log.debug("%s: disconnecting gave 0x%08X", self.reader, code & 0xFFFFFFFF)
        self._caller.stop()


class ReaderEventKind(enum.Enum):
    """What happened to readers, cards and the service in front of them."""

    SERVICE_UP = "service_up"
    SERVICE_DOWN = "service_down"
    READER_ADDED = "reader_added"
    READER_REMOVED = "reader_removed"
    CARD_INSERTED = "card_inserted"
    CARD_REMOVED = "card_removed"


@dataclass(frozen=True, slots=True)
class ReaderEvent:
    """One change. ``reader`` is empty for the service; ``atr`` is given with an inserted card."""

    kind: ReaderEventKind
    reader: str = ""
    atr: bytes = b""


class ReaderWatch:
    """Reports readers and cards as they come and go, from a thread of its own; survives pcscd's restarts.

    Whoever follows the events always has a consistent picture: before SERVICE_DOWN every card and reader is
    reported gone, after SERVICE_UP every one is reported anew. ``on_event`` is called from the thread, must
    be quick and must not raise.
    """

    def __init__(self, on_event: Callable[[ReaderEvent], None], back_off_s: Sequence[float] = BACK_OFF_S) -> None:
        self._on_event, self._back_off_s = on_event, back_off_s
        self._stopping = threading.Event()
        self._context: Any = None
        self._service: bool | None = None
        self._states: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="reader watch", daemon=True)

    def start(self) -> None:
        """Begin; the readers that are there are reported first."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; safe to call twice."""
        self._stopping.set()
        context = self._context
        if context is not None:
            scard.SCardCancel(context)
        if self._thread.is_alive():
            # A wait that began just after the cancel lasts one round.
            self._thread.join(STATUS_ROUND_S + 3.0)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with _context("PC/SC", "watching readers") as context:
                    self._context = context
                    try:
                        while not self._stopping.is_set():
                            self._round(context)
                            failures = 0
                    finally:
                        self._context = None
            except DeviceError as error:
                # The first failure is loud, repeats are quiet.
                log.log(logging.DEBUG if failures else logging.WARNING, "watching readers: %s", error)
                self._everything_gone()
                self._stopping.wait(self._back_off_s[min(failures, len(self._back_off_s) - 1)])
                failures += 1

    def _round(self, context: Any) -> None:
        """List, wait, compare. Any code but success and time-out ends the context."""
        names = _list(context)
        self._service_is(True)
        for name in [name for name in self._states if name not in names]:
            self._reader_gone(name)
        for name in names:
            if name not in self._states:
                self._states[name] = scard.SCARD_STATE_UNAWARE
                self._on_event(ReaderEvent(ReaderEventKind.READER_ADDED, name))
        waiting = [(_PNP, scard.SCARD_STATE_UNAWARE | len(names) << _COUNTER_SHIFT), *self._states.items()]
        code, states = scard.SCardGetStatusChange(context, int(STATUS_ROUND_S * 1000), waiting)
        if self._stopping.is_set() or code == scard.SCARD_E_TIMEOUT:
            return
        if code != scard.SCARD_S_SUCCESS:
            raise _translated(code, "PC/SC", "watching readers", in_use=False)
        for name, state, atr in states:
            if name in self._states:
                self._compare(name, state & ~scard.SCARD_STATE_CHANGED, bytes(atr))

    def _compare(self, name: str, now: int, atr: bytes) -> None:
        before, self._states[name] = self._states[name], now
        was, present = bool(before & scard.SCARD_STATE_PRESENT), bool(now & scard.SCARD_STATE_PRESENT)
        # The upper half counts insertions and removals: a card changed between two looks shows only there.
        changed_unseen = was and present and before >> _COUNTER_SHIFT != now >> _COUNTER_SHIFT
        if was and (not present or changed_unseen):
            self._on_event(ReaderEvent(ReaderEventKind.CARD_REMOVED, name))
        if present and (not was or changed_unseen):
            self._on_event(ReaderEvent(ReaderEventKind.CARD_INSERTED, name, atr))

    def _reader_gone(self, name: str) -> None:
        if self._states.pop(name) & scard.SCARD_STATE_PRESENT:
            self._on_event(ReaderEvent(ReaderEventKind.CARD_REMOVED, name))
        self._on_event(ReaderEvent(ReaderEventKind.READER_REMOVED, name))

    def _everything_gone(self) -> None:
        for name in list(self._states):
            self._reader_gone(name)
        self._service_is(False)

    def _service_is(self, up: bool) -> None:
        if self._service is not up:
            self._service = up
            self._on_event(ReaderEvent(ReaderEventKind.SERVICE_UP if up else ReaderEventKind.SERVICE_DOWN))
