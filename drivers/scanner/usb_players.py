"""Who answers at the other end of a replayed cable: the interface, and recordings."""

import abc
import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from drivers.scanner.usb_traffic import Session, Transfer, UsbRequest

_CANCELLED = frozenset({-errno.ENOENT, -errno.ECONNRESET})
"""Status of a request that the host took back: it ends without bytes and without an error."""


class ReplayError(Exception):
    """The driver did something that the recording does not have: no device error, the test or the driver is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the device gives to a request: bytes, or an errno; ``after_s`` from now."""

    data: bytes = b""
    errno: int = 0
    after_s: float = 0.0

    def __repr__(self) -> str:
        return f"<answer of {len(self.data)} bytes, errno {self.errno}>"


class Player(abc.ABC):
    """The device's side of the cable. Called with the clock's lock held: quick, and never waiting."""

    descriptors: bytes
    product_name: str = "replayed scanner"
    serial: str | None = None
    changed: Callable[[], None] = staticmethod(lambda: None)
    """To be called when something happens that the host did not cause: a finger is laid on the glass."""

    @abc.abstractmethod
    def submit(self, request: UsbRequest) -> None:
        """The host asks; output takes effect now."""

    @abc.abstractmethod
    def answer(self, request: UsbRequest) -> Answer | None:
        """The answer to a submitted request, given once; None: not yet."""

    @abc.abstractmethod
    def power_up(self) -> None:
        """It was plugged in: as new."""


class Recorded(Player):
    """A recording, request by request.

    An input is handed out once every output recorded before its completion was made. An output must equal the
    recording, unless a fault was planted: then what the recording does not have is met with silence.
    ``paced`` gives every answer as late as the device did.
    """

    def __init__(self, session: Session, *, paced: bool = False, strict: bool = True) -> None:
        self.descriptors, self._transfers = session.descriptors, session.transfers
        self._paced, self._strict = paced, strict
        self.power_up()

    def power_up(self) -> None:
        """See :class:`Player`."""
        self._outputs = deque(one for one in self._transfers if not one.request.is_input)
        self._inputs: dict[int, deque[Transfer]] = {}
        for one in self._transfers:
            if one.request.is_input:
                self._inputs.setdefault(one.request.endpoint, deque()).append(one)
        self._accepted: dict[int, Transfer | None] = {}
        self._off_script = False

    @property
    def finished(self) -> bool:
        """Everything that was recorded has been said again."""
        return not self._outputs and not any(self._inputs.values())

    def submit(self, request: UsbRequest) -> None:
        """See :class:`Player`."""
        if request.is_input:
            return
        expected = self._outputs[0].request if self._outputs else None
        if expected is None or (expected.kind, expected.endpoint & 0x7F, expected.setup, expected.sent) != (
            request.kind,
            request.endpoint & 0x7F,
            request.setup,
            request.sent,
        ):
            self._depart(request, expected)
            self._accepted[request.endpoint] = None
            return
        self._accepted[request.endpoint] = self._outputs.popleft()

    def answer(self, request: UsbRequest) -> Answer | None:
        """See :class:`Player`."""
        if not request.is_input:
            output = self._accepted.pop(request.endpoint)
            # Output beside the script is taken and thrown away: a driver that gives up may say so to the device.
            return Answer() if output is None else self._as_recorded(output)
        waiting = self._inputs.get(request.endpoint)
        if not waiting or self._off_script:
            return None
        recorded = waiting[0]
        if recorded.done is None or (self._outputs and self._outputs[0].order < recorded.done):
            return None
        if request.setup != recorded.request.setup:
            self._depart(request, recorded.request)
            return None
        return self._as_recorded(waiting.popleft())

    def _as_recorded(self, one: Transfer) -> Answer:
        after_s = max(0.0, one.ended_s - one.started_s) if self._paced else 0.0
        number = 0 if one.status in _CANCELLED else -one.status
        return Answer(one.received, number, after_s)

    def _depart(self, request: UsbRequest, expected: UsbRequest | None) -> None:
        self._off_script = True
        if self._strict:
            due = "nothing more" if expected is None else f"{expected.setup.hex()} {expected.sent.hex()}"
            raise ReplayError(f"sent {request.setup.hex()} {request.sent.hex()} where the recording has {due}")
