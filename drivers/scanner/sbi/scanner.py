"""Scanners behind a device service of their maker's: the Secure Biometric Interface, specification 0.9.5.

The service listens on the loopback address and signs what it says; the scanner itself is its own business. It is
foreign: everything it answers is checked against what was asked (``checks.py``). Tried against the service of
``mock/``, which makes every mistake on request. What is checked, and how to try it: docs/sbi.md.

The interface knows no lease, no cancelling and no "finger lifted". Hence: a wait is cut into short captures, so that
an abandoned one ends soon; and after a picture the glass is looked at with captures whose pictures are thrown away.
"""

import datetime
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DeviceRemovedError,
)
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo, ScannerSource, ScannerState
from drivers.scanner.calibration import Calibration, apply
from drivers.scanner.sbi import moments
from drivers.scanner.sbi.checks import Asked, Captured, CaptureNotes, Failure, check_capture
from drivers.scanner.sbi.errors import DeviceSaysError, Refusal, WrongAnswerError, named
from drivers.scanner.sbi.identity import Discovered, Informed, check_fit, discovered, informed
from drivers.scanner.sbi.picture import unpack
from drivers.scanner.sbi.protocol import (
    FINGER,
    FINGERS,
    HOST,
    NOT_REGISTERED,
    REGISTRATION,
    SINGLE_SUB_ID,
    SPEC_VERSION,
    Reaction,
    Status,
    Verb,
    reaction,
)
from drivers.scanner.sbi.transport import NobodyThereError, StopWaitingError, Wait, ask
from drivers.scanner.sbi.trust import Roots

log = logging.getLogger(__name__)

PORTS = (4501, 4600)
"""Where the interface says that such services listen."""
RIGHT_INDEX = 2
FEWEST_GREY_LEVELS = 8
"""A picture whose darkest and lightest hundredth lie nearer than this holds no ridges, only sensor noise."""
_STATES = {Status.READY: ScannerState.READY, Status.NOT_REGISTERED: ScannerState.NOT_CONFIGURED}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long is waited for what, in seconds."""

    look: float = 1.0
    """For the discovery answer of one port: a service answers from memory; a port of another program never does."""
    listing: float = 3.0
    """For all ports together, so that listing stays quick whatever listens there."""
    answer: float = 4.0
    """For every other answer, and beyond the time-out of a capture: the interface promises an answer within 4 s."""
    capture: float = 4.0
    """For a finger, per request. A service that does not notice that its caller has gone is free again after this."""
    glimpse: float = 0.5
    """For a finger that should be lifted: the shortest time-out the public compliance toolkit tries."""
    pause: float = 0.2
    """Between two questions of the same kind: a service is not kept busy for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which terms services are talked to; the same for all of them."""

    roots: Path
    ports: range
    environment: str
    pace: Pace = Pace()
    requested_score: int = 60
    """NFIQ 2: what registration usually asks. A service that does not reach it gives its best."""
    now: Callable[[], datetime.datetime] = _now
    monotonic: Callable[[], float] = time.monotonic


def find(
    ports: tuple[int, int], roots: Path | None, environment: str = "Production", pace: Pace | None = None
) -> list[ScannerSource]:
    """The finger scanners of the services on these loopback ports, first and last included.

    Without a folder of certificates nothing could be believed, and nothing is asked. What does not answer like a
    device service is left alone.
    """
    if roots is None:
        return []
    terms = Terms(roots=roots, ports=range(ports[0], ports[1] + 1), environment=environment, pace=pace or Pace())
    found: dict[tuple[int, str], Discovered] = {}
    until = terms.monotonic() + terms.pace.listing
    for port in terms.ports:
        if terms.monotonic() >= until:
            log.info("ports from %d on were not asked: those before took too long", port)
            break
        try:
            devices = _discover(port, terms, min(until, terms.monotonic() + terms.pace.look))
        except NobodyThereError:
            continue
        except DeviceError as error:
            log.info("not used as a scanner: %s", error)
            continue
        # A service may be met at one port and name another one as its own.
        found.update({(device.port, device.device_id): device for device in devices})
    return [SbiSource(device, terms) for device in found.values()]


def _discover(port: int, terms: Terms, until: float, stop: threading.Event | None = None) -> list[Discovered]:
    body = json.dumps({"type": FINGER}).encode("ascii")
    answer = ask(port, Verb.DISCOVER, body, Wait(until, terms.monotonic, stop))
    with named(f"device service {HOST}:{port}", "discover"):
        return discovered(answer, terms.ports)


class SbiSource(ScannerSource):
    """A scanner a service told of."""

    def __init__(self, device: Discovered, terms: Terms) -> None:
        self._device, self._terms = device, terms
        self.info = ScannerInfo(
            driver="sbi",
            name=f"{device.identity.make} {device.identity.model}",
            serial=device.identity.serial,
            dpi=None,  # every picture brings its own
            path=f"{HOST}:{device.port}/{device.device_id}",
            state=_STATES.get(device.status, ScannerState.BUSY),
            calibration="device",
            measurable=False,  # what a picture says of its scale is signed
        )

    def open(self, *, raw: bool = False) -> "SbiScanner":
        """Ask again who is there, and believe it only signed. ``raw`` changes nothing: pictures know their scale.

        Raises
        ------
        RootsError
            The folder of certificates cannot be used.
        AnswerRefusedError, DeviceSaysError
            The device is not what it should be, or not registered.
        """
        return SbiScanner(self.info, self._device, self._terms)


class SbiScanner(Scanner):
    """A scanner whose service has shown who it is. After any DeviceError it is closed: open it anew."""

    def __init__(self, info: ScannerInfo, device: Discovered, terms: Terms) -> None:
        self.info = info
        self._name = f"scanner {info.path}"
        self._device, self._terms, self._pace = device, terms, terms.pace
        self._roots = Roots.load(terms.roots)
        self._position = RIGHT_INDEX
        self._previous_hash = ""
        self._finger_was_seen = False
        self._closed = False
        self.notes: CaptureNotes | None = None
        """Of the last picture."""
        until = terms.monotonic() + self._pace.answer
        try:
            status = self._status(Wait(until, terms.monotonic))
        except (NobodyThereError, DeviceRemovedError) as error:
            raise DeviceNotFoundError(self._name, "open", error.detail) from error
        with named(self._name, "open"):
            check_fit(device)
        if status is not Status.READY:
            raise DeviceBusyError(self._name, "open", f"its service says: {status}")
        self._told: Informed = self._inform(Wait(until, terms.monotonic))
        self.clock_skew: datetime.timedelta = self._told.dated - terms.now()
        """How far the digital id's time was from ours when the scanner was opened, for the log."""
        log.info("%s: clock of its service %+.0f s", self._name, self.clock_skew.total_seconds())

    def expect(self, position: int) -> None:
        """Name the finger that is asked for: ISO/IEC 19794 position, 1-10. The service writes it on the picture."""
        if position not in FINGERS:
            raise ValueError(f"no finger has position {position}")
        self._position = position

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`. :attr:`notes` says what came with the picture."""
        if self._closed:
            raise DeviceRemovedError(self._name, "capture", "it was closed; open it again")
        try:
            return self._capture(Wait(self._terms.monotonic() + timeout_s, self._terms.monotonic, stop))
        except StopWaitingError:
            return PlaceAgain.NO_FINGER
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """See :meth:`Scanner.close`. Nothing is held between questions."""
        self._closed = True

    def _capture(self, wait: Wait) -> FingerImage | PlaceAgain:
        self._must_be_ready(wait)
        while self._finger_was_seen:
            # At least one look, however little time there is: without it nobody knows whether the finger still lies
            # there. A glimpse cut short would see nothing, and call that an empty glass: it always has its whole time.
            seen = self._ask_for_a_finger(wait, self._pace.glimpse, score=1)
            if isinstance(seen, Captured):
                _wipe(seen)
            if seen is PlaceAgain.NO_FINGER:
                self._finger_was_seen = False
            elif wait.left() <= 0:
                return PlaceAgain.LIFT_FIRST
            else:
                self._rest(wait)
        while (left := wait.left()) > 0:
            seen = self._ask_for_a_finger(wait, min(left, self._pace.capture), score=self._terms.requested_score)
            if seen is PlaceAgain.NO_FINGER:
                continue
            self._finger_was_seen = True
            return self._picture(seen, wait) if isinstance(seen, Captured) else seen
        return PlaceAgain.NO_FINGER

    def _must_be_ready(self, wait: Wait) -> None:
        """What was true when the scanner was found need not be true now: ask before each capture."""
        while True:
            status = self._status(self._within(self._pace.answer, wait))
            if status is Status.READY:
                return
            if wait.left() <= 0:
                raise DeviceBusyError(self._name, "capture", f"its service says: {status}")
            self._rest(wait)

    def _status(self, wait: Wait) -> Status:
        for device in _discover(self._device.port, self._terms, wait.until, wait.stop):
            if device.device_id == self._device.device_id:
                with named(self._name, "find again"):
                    if device.identity != self._device.identity:
                        raise WrongAnswerError(Refusal.DIGITAL_ID, "another device than the one discovered")
                    if device.version != self._device.version:
                        raise WrongAnswerError(Refusal.VERSION, "another than the one discovered")
                if device.status is Status.NOT_REGISTERED:
                    raise DeviceSaysError(self._name, "find again", NOT_REGISTERED, "not registered")
                return device.status
        raise DeviceRemovedError(self._name, "find again", "its service does not know it any more")

    def _inform(self, wait: Wait) -> Informed:
        answer = ask(self._device.port, Verb.INFO, b"", wait)
        with named(self._name, "inform"):
            told = informed(answer, self._device, self._roots, self._terms.now(), "inform")
            if told.environment != self._terms.environment:
                raise WrongAnswerError(
                    Refusal.ENVIRONMENT, f"{told.environment[:20]} instead of {self._terms.environment}"
                )
        return told

    def _ask_for_a_finger(self, wait: Wait, seconds: float, score: int) -> Captured | PlaceAgain:
        """One capture of so many seconds, repeated while the service asks for patience and ``wait`` has some."""
        failed_before = False
        while True:
            seen = self._request(wait, max(1, int(seconds * 1000)), score)
            if isinstance(seen, Captured):
                return seen
            over = wait.left() <= self._pace.pause
            match reaction(seen.number):
                case Reaction.NO_FINGER:
                    return PlaceAgain.NO_FINGER
                case Reaction.PLACE_AGAIN:
                    return PlaceAgain.EMPTY
                case Reaction.RETRY if over:
                    return PlaceAgain.EMPTY
                case Reaction.RETRY_ONCE if not failed_before:
                    failed_before = True
                case Reaction.WAIT if over:
                    raise DeviceBusyError(self._name, "capture", _told(seen))
                case Reaction.RETRY | Reaction.WAIT:
                    pass
                case Reaction.REDISCOVER:
                    raise DeviceRemovedError(self._name, "capture", _told(seen))
                case _:
                    raise DeviceSaysError(self._name, "capture", seen.number, seen.words)
            self._rest(wait)
            seconds = min(seconds, max(wait.left(), self._pace.glimpse))

    def _request(self, wait: Wait, timeout_ms: int, score: int) -> Captured | Failure:
        asked = Asked(
            transaction=secrets.token_hex(16),
            at=self._terms.now(),
            environment=self._told.environment,
            position=self._position,
            score=score,
            previous_hash=self._previous_hash,
            identity=self._told.identity,
            level=self._told.level,
        )
        body = _request_body(asked, self._device.device_id, timeout_ms)
        answer = ask(self._device.port, Verb.REGISTER, body, self._within(timeout_ms / 1000 + self._pace.answer, wait))
        try:
            with named(self._name, "capture"):
                seen = check_capture(answer, asked, self._roots, self._terms.now())
        finally:
            answer[:] = bytes(len(answer))
        if isinstance(seen, Captured):
            self._previous_hash = seen.notes.hash
        return seen

    def _picture(self, seen: Captured, wait: Wait) -> FingerImage | PlaceAgain:
        try:
            with named(self._name, "unpack the picture"):
                pixels = unpack(seen.finger)
        finally:
            _wipe(seen)
        upright, dpi = apply(pixels, Calibration(seen.finger.ppi_x, seen.finger.ppi_y, source="device"))
        pixels[...] = 0
        image = FingerImage(pixels=upright, dpi=dpi, scanner=f"{self.info.driver}:{self.info.path}")
        try:
            wait.left()
        except StopWaitingError:
            image.wipe()
            raise
        self.notes = seen.notes
        log.info(
            "%s: picture %s, quality %.0f, doubts %s, liveness as the device says %s",
            self._name,
            seen.notes.transaction,
            seen.notes.quality,
            [doubt.value for doubt in seen.notes.doubts],
            seen.notes.liveness,
        )
        if _is_blank(image):
            image.wipe()
            return PlaceAgain.EMPTY
        return image

    def _within(self, seconds: float, wait: Wait) -> Wait:
        return Wait(self._terms.monotonic() + seconds, self._terms.monotonic, wait.stop)

    def _rest(self, wait: Wait) -> None:
        """Pause, but no longer than is left, and not when stopped."""
        seconds = max(0.0, min(self._pace.pause, wait.left()))
        (wait.stop or threading.Event()).wait(seconds)


def _request_body(asked: Asked, device_id: str, timeout_ms: int) -> bytes:
    """Every plain value is a text: services refuse numbers."""
    finger = {
        "type": FINGER,
        "count": "1",
        "bioSubType": [FINGERS[asked.position]],
        "exception": [],
        "requestedScore": str(round(asked.score)),
        "deviceId": device_id,
        "deviceSubId": SINGLE_SUB_ID,
        "previousHash": asked.previous_hash,
    }
    request = {
        "env": asked.environment,
        "purpose": REGISTRATION,
        "specVersion": SPEC_VERSION,
        "timeout": str(timeout_ms),
        "captureTime": moments.written(asked.at),
        "transactionId": asked.transaction,
        "bio": [finger],
        "customOpts": {},
    }
    return json.dumps(request).encode("utf-8")


def _told(failure: Failure) -> str:
    return f"device says {failure.number}" + (f": {failure.words}" if failure.words else "")


def _wipe(seen: Captured) -> None:
    seen.content[:] = bytes(len(seen.content))


def _is_blank(image: FingerImage) -> bool:
    dark, light = np.percentile(image.pixels, (1, 99))
    return bool(light - dark < FEWEST_GREY_LEVELS)
