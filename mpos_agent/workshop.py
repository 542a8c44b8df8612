"""What a technician does with a scanner apart from claims: test it, measure its resolution."""

import datetime
import threading
from collections.abc import Callable
from dataclasses import dataclass

from config.tables import Text
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerInfo
from drivers.scanner.calibration import Calibration
from drivers.scanner.calibration_target import Measured, measure
from drivers.scanner.errors import ScaleNotMeasurableError
from mpos_agent.audit import Act, AuditLog
from mpos_agent.capture.auto_capture import Judge
from mpos_agent.capture.guidance import Guidance
from mpos_agent.capture.trial import Trial, trial_of
from mpos_agent.devices import FingerStation
from mpos_agent.errors import StoppingError
from mpos_agent.events import EventHub, EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A measurement that was kept."""

    scanner: ScannerInfo
    measured: Measured


class Workshop:
    """The scanner in the hands of a technician. Safe from every thread; a claim that uses the scanner goes first."""

    def __init__(
        self,
        *,
        finger: FingerStation,
        events: EventHub,
        audit: AuditLog,
        judge: Judge,
        keep: Callable[[str, str | None, Calibration], object],
        text: Callable[[str], Text],
        today: Callable[[], datetime.date],
        timeout_s: float,
        closing: threading.Event,
    ) -> None:
        self._finger, self._events, self._audit, self._judge, self._keep = finger, events, audit, judge, keep
        self._text, self._today, self._timeout_s, self._closing = text, today, timeout_s, closing

    def test(self, unit: str | None, *, raw: bool) -> Trial:
        """Take a picture for looking at, never for a claim, and judge it.

        Parameters
        ----------
        unit : path or serial number of the scanner; None: the one a claim would use.
        raw : as the sensor gives it, also where its geometry is not known.

        Raises
        ------
        ClaimBusyError, DeviceError
        StoppingError
            The agent is stopping.
        """
        scanner, picture = self._picture(unit, raw=raw)
        self._audit.record(Act.SCANNER_TESTED)
        return trial_of(scanner, picture, self._judge)

    def calibrate(self, unit: str | None, pitch_mm: float) -> Calibrated | PlaceAgain:
        """Measure the resolution of a scanner by a picture of the printed target, and keep it.

        Parameters
        ----------
        pitch_mm : distance of the lines on this print.

        Raises
        ------
        ScaleNotMeasurableError
            Nothing would read the measurement.
        TargetUnclearError
            The target is not seen well enough.
        CalibrationFileError
            The measurement could not be kept.
        ClaimBusyError, DeviceError, StoppingError
            As :meth:`test`.
        """
        # Before anybody lays a page down for nothing.
        if not (about := self._finger.about(unit)).measurable:
            raise ScaleNotMeasurableError(about.name)
        scanner, picture = self._picture(unit, raw=True)
        if isinstance(picture, PlaceAgain):
            return picture
        try:
            measured = measure(picture.pixels, pitch_mm)
        finally:
            picture.wipe()
        found = Calibration(measured.dpi_x, measured.dpi_y, source="target", measured_on=self._today())
        self._keep(scanner.driver, scanner.serial, found)
        self._audit.record(Act.SCANNER_CALIBRATED)
        return Calibrated(scanner=scanner, measured=measured)

    def guide(self, claim_id: str | None, guidance: Guidance) -> None:
        """Tell whoever stands before the scanner what to do; ``claim_id`` None: in a test."""
        text = self._text(f"guidance.{guidance}")
        self._events.publish(
            EventKind.FINGER,
            claim_id=claim_id,
            doing="guide",
            code=guidance.value,
            text_id=text.id,
            text_en=text.en,
        )

    def _picture(self, unit: str | None, *, raw: bool) -> tuple[ScannerInfo, FingerImage | PlaceAgain]:
        if self._closing.is_set():
            raise StoppingError

        def tell(guidance: Guidance) -> None:
            self.guide(None, guidance)

        return self._finger.picture_as_it_is(unit, self._timeout_s, self._closing, tell, raw=raw)
