"""What a device did to us: one exception per cause, with its facts as fields.

What the person at the counter can put right (no card yet, finger too dry) is a value, not an error.
"""

from typing import ClassVar


class DeviceError(Exception):
    """A device could not do what was asked of it.

    ``code`` is stable: logs, tests and the table of operator sentences key on it.
    ``retryable`` says whether doing the same again, after the named cure, can help.
    """

    code: ClassVar[str] = "device"
    retryable: ClassVar[bool] = False

    def __init__(self, device: str, doing: str, detail: str = "") -> None:
        super().__init__(f"{device}: {doing}" + (f": {detail}" if detail else ""))
        self.device, self.doing, self.detail = device, doing, detail


class DeviceNotFoundError(DeviceError):
    """Nothing that answers to the configured description is plugged in."""

    code = "device_not_found"
    retryable = True


class DeviceBusyError(DeviceError):
    """Another process holds it."""

    code = "device_busy"
    retryable = True


class DevicePermissionError(DeviceError):
    """The operating system does not let this user open it."""

    code = "device_permission"


class DeviceRemovedError(DeviceError):
    """It was unplugged, or the link to it broke, while in use."""

    code = "device_removed"
    retryable = True


class DeviceTimeoutError(DeviceError):
    """It did not answer in the time its protocol allows."""

    code = "device_timeout"
    retryable = True


class DeviceProtocolError(DeviceError):
    """It answered something its protocol does not allow at this point."""

    code = "device_protocol"


class ServiceDownError(DeviceError):
    """The system service in front of the device (pcscd) is not running."""

    code = "service_down"
    retryable = True
