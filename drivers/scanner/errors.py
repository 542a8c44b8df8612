"""What keeps a scanner that is plugged in from being used."""

from drivers.errors import DeviceError


class NotCalibratedError(DeviceError):
    """Nobody knows how many pixels of it make an inch, so its pictures cannot be compared with a card."""

    code = "scanner_not_calibrated"

    def __init__(self, driver: str, serial: str | None) -> None:
        unit = driver if serial is None else f"{driver} {serial}"
        super().__init__(unit, "capture", "not calibrated: mpos-agent devices calibrate")
        self.driver, self.serial = driver, serial


class CalibrationFileError(DeviceError):
    """A calibration file is there but says nothing that could be true."""

    code = "calibration_file"

    def __init__(self, file: str, detail: str) -> None:
        super().__init__(f"calibration {file}", "read", detail)
        self.file = file


class NotConfiguredError(DeviceError):
    """A setting is missing without which this scanner cannot be opened."""

    code = "scanner_not_configured"

    def __init__(self, device: str, setting: str) -> None:
        super().__init__(device, "open", f"{setting} is not set")
        self.setting = setting


class SecretFileError(DeviceError):
    """The file with what a scanner asks for, a key or a password, cannot be used."""

    code = "scanner_secret_file"

    def __init__(self, file: str, detail: str) -> None:
        super().__init__(f"secret file {file}", "read", detail)
        self.file = file


class PasswordRefusedError(DeviceError):
    """A module was given another password than the one of this site."""

    code = "scanner_password"

    def __init__(self, device: str) -> None:
        super().__init__(device, "open", "it refused the password of this site")


class ScaleNotMeasurableError(DeviceError):
    """Each picture of this scanner says its own scale, and that is what counts: nobody would read a measurement."""

    code = "scanner_scale_fixed"

    def __init__(self, device: str) -> None:
        super().__init__(device, "measure", "its pictures say their own scale")


class PictureRepeatedError(DeviceError):
    """It gives pictures, to the last bit, that it gave before: a live sensor cannot."""

    code = "scanner_repeats"


class TargetUnclearError(DeviceError):
    """The picture does not show the printed target well enough to measure by it."""

    code = "target_unclear"
    retryable = True

    def __init__(self, detail: str) -> None:
        super().__init__("calibration target", "measure", detail)


class LibraryUnusableError(DeviceError):
    """A maker's library is there but cannot be loaded, or does not offer what the header asks for."""

    code = "vendor_library"


class LibraryDiedError(DeviceError):
    """A maker's library crashed; its process is gone, the agent goes on."""

    code = "vendor_library_died"
    retryable = True
