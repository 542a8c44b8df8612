"""Serial modules ZhianTec ZFM-20/60/70, GROW R301T-R307, R503 and AS608, through any USB serial adapter.

After the makers' manuals; packets in ``zfm_packets.py``. Tried on ``zfm_simulator.py``, not on a module. Only four
commands are used: password, parameters, take a picture, send it here. The module never keeps, enrols or searches a
finger. Its 4-bit grey is good enough to show how a claim goes, not for claims that pay.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, DeviceNotFoundError, DeviceProtocolError, DeviceTimeoutError
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt, Scanner, ScannerInfo, ScannerSource, ScannerState
from drivers.scanner.calibration import Calibration, Calibrations, apply
from drivers.scanner.errors import NotCalibratedError, NotConfiguredError, PasswordRefusedError
from drivers.scanner.secret_file import read_secret
from drivers.scanner.serial_transport import SerialPort, SerialTransport, usb_ports
from drivers.scanner.zfm_packets import (
    CHECKSUM_BYTES,
    DEFAULT_ADDRESS,
    HEADER_BYTES,
    MODULE_WIDTH,
    MOST_LINES,
    START,
    Command,
    Header,
    Identifier,
    PacketError,
    Status,
    SystemParameters,
    check,
    decode_header,
    decode_system_parameters,
    encode,
    picture,
    status_name,
)

DRIVER = "zfm"
NO_PASSWORD = bytes(4)
"""What every module is delivered with."""
ADAPTERS = {(0x10C4, 0xEA60): "CP2102", (0x1A86, 0x7523): "CH340", (0x0403, 0x6001): "FT232"}
"""USB serial adapters these modules are sold with. Other devices hang on the same adapters."""
BAUDS = (57600, 115200, 38400, 19200, 9600)
"""As delivered first, then what people set."""

DETECT_S = 0.4
"""A module answers a password within 50 ms, one that is just starting within 200 ms."""
ANSWER_S = 3.0
"""Taking a picture is the slowest command; the manuals allow under 1 s."""
PACKET_S = 1.0
"""Packets of a picture follow each other without a pause."""
QUIET_S = 0.05
"""At 9600 baud a byte takes 1 ms: a line silent for this long is at rest."""
SILENCE_S = 45.0
"""Bound on waiting for silence: a picture asked for by a program that died takes 43 s at 9600 baud."""
POLL_S = 0.02
"""Between two looks at the glass; the sensor needs longer than that for each."""
MOST_SKIPPED_BYTES = 64
"""Noise before an answer: modules say 55 when they are ready, adapters add a byte when the line wakes."""
UPLOADS = 3
"""How often a picture is asked for; the module keeps it until the next one is taken."""
LARGEST_PICTURE_BYTES = MODULE_WIDTH * MOST_LINES // 2
FEWEST_GREY_LEVELS = 3 * 17
"""A picture whose darkest and lightest hundredth lie nearer than three of the sixteen steps holds no ridges."""


def find(port: str | None, calibrations: Calibrations, password_file: Path | None = None) -> list[ScannerSource]:
    """The module at the port that is set, if there is such a port."""
    if port is None or not Path(port).exists():
        return []
    node = Path(port).resolve()
    known = next((one for one in usb_ports() if Path(one.path).resolve() == node), None)
    return [ZfmSource(port, adapter=known, calibrations=calibrations, password_file=password_file)]


def find_at_adapters(calibrations: Calibrations, password_file: Path | None = None) -> list[ScannerSource]:
    """Every port of an adapter that such modules are sold with: to be asked only when this driver is asked for."""
    return [
        ZfmSource(port.path, adapter=port, calibrations=calibrations, password_file=password_file)
        for port in usb_ports()
        if (port.vendor, port.product) in ADAPTERS
    ]


class ZfmSource(ScannerSource):
    """A serial port that a module hangs on.

    Parameters
    ----------
    path : device node, best by a name that stays (/dev/serial/by-id).
    password_file : eight hexadecimal digits, the password the module was given; None: it was given none.
    """

    def __init__(
        self,
        path: str,
        *,
        calibrations: Calibrations,
        adapter: SerialPort | None = None,
        password_file: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        serial = None if adapter is None else adapter.serial
        self._calibration = calibrations(DRIVER, serial)
        self._password_file, self._monotonic = password_file, monotonic
        self.info = ScannerInfo(
            driver=DRIVER,
            name="Serial fingerprint module" + (f" ({adapter.product_name})" if adapter else ""),
            serial=serial,
            dpi=None if self._calibration is None else self._calibration.dpi,
            path=path,
            state=ScannerState.READY if os.access(path, os.R_OK | os.W_OK) else ScannerState.NO_PERMISSION,
            calibration=None if self._calibration is None else self._calibration.told,
        )

    def open(self, *, raw: bool = False) -> Scanner:
        """Find the module's speed and say the password; raises as :class:`ScannerSource` says.

        Also DeviceProtocolError and DeviceTimeoutError where something answers that is no such module,
        PasswordRefusedError and SecretFileError where its password is not the one in the file.
        """
        if self._calibration is None and not raw:
            raise NotCalibratedError(DRIVER, self.info.serial)
        # Read for each opening and not kept; before the port is touched, so that a wrong file disturbs no module.
        password = None if self._password_file is None else read_secret(self._password_file, len(NO_PASSWORD))
        return ZfmScanner(self.info, None if raw else self._calibration, password=password, monotonic=self._monotonic)


class ZfmScanner(Scanner):
    """An opened module. After any DeviceError it is closed: open it anew."""

    def __init__(
        self,
        info: ScannerInfo,
        calibration: Calibration | None,
        *,
        password: bytes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calibration, self._monotonic = calibration, monotonic
        self._name = f"serial module {info.path}"
        self._pictured = False
        """The finger of the last picture was not seen to leave."""
        self._sending = False
        """The rest of a picture that nobody wants any more is still on its way."""
        self._port = SerialTransport(info.path, BAUDS[0], name=self._name, monotonic=monotonic)
        try:
            self._port.read_until_quiet(QUIET_S, monotonic() + SILENCE_S)
            self._find_speed(password)
            self.parameters = self._read_parameters()
            """What the module says of itself."""
        except BaseException:
            self.close()
            raise
        self.info = dataclasses.replace(info, dpi=None if calibration is None else calibration.dpi)

    @property
    def baud(self) -> int:
        """The speed at which the module answered."""
        return self._port.baud

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`."""
        try:
            return self._capture(self._monotonic() + timeout_s, stop or threading.Event())
        except DeviceError:
            # What is still on its way belongs to a conversation that went wrong.
            self.close()
            raise

    def close(self) -> None:
        """See :meth:`Scanner.close`."""
        self._port.close()

    def _capture(self, until: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        self._end_what_was_sent(stop)
        failed, prompted = False, None
        while not stop.is_set():
            awaited = Prompt.LIFT if self._pictured else Prompt.PLACE
            if awaited is not prompted and self.prompt is not None:
                self.prompt(awaited)
            prompted = awaited
            status = self._ask(Command.GEN_IMG)
            failed = status == Status.CAPTURE_FAILED
            if status == Status.NO_FINGER:
                self._pictured = False
            elif status == Status.OK and not self._pictured:
                self._pictured = True
                if self.prompt is not None:
                    self.prompt(Prompt.HOLD)
                return self._fetch(stop)
            elif status not in (Status.OK, Status.CAPTURE_FAILED):
                raise DeviceProtocolError(self._name, Command.GEN_IMG.name, f"answered {status_name(status)}")
            if self._monotonic() >= until:
                break
            stop.wait(POLL_S)
        if stop.is_set():
            return PlaceAgain.NO_FINGER
        if self._pictured:
            return PlaceAgain.LIFT_FIRST
        return PlaceAgain.EMPTY if failed else PlaceAgain.NO_FINGER

    def _fetch(self, stop: threading.Event) -> FingerImage | PlaceAgain:
        """The picture that lies in the module; asked for again when it arrives damaged."""
        damage: DeviceError | None = None
        for _ in range(UPLOADS):
            status = self._ask(Command.UP_IMAGE)
            if status == Status.NO_VALID_IMAGE:
                return PlaceAgain.EMPTY
            if status not in (Status.OK, Status.IMAGE_UPLOAD_ERROR):
                raise DeviceProtocolError(self._name, Command.UP_IMAGE.name, f"answered {status_name(status)}")
            if status == Status.IMAGE_UPLOAD_ERROR:
                damage = DeviceProtocolError(self._name, Command.UP_IMAGE.name, f"answered {status_name(status)}")
                continue
            try:
                pixels = self._receive(stop)
            except (DeviceProtocolError, DeviceTimeoutError) as error:
                damage = error
                self._sending = True
                self._end_what_was_sent(stop)
                if stop.is_set():
                    return PlaceAgain.NO_FINGER
                continue
            return PlaceAgain.NO_FINGER if pixels is None else self._image(pixels)
        assert damage is not None
        raise damage

    def _receive(self, stop: threading.Event) -> NDArray[np.uint8] | None:
        """All data packets of one upload as a picture; None when it was stopped on the way."""
        doing = "receive the picture"
        until = self._monotonic() + 2 + LARGEST_PICTURE_BYTES * 1.3 * 10 / self._port.baud
        payload = bytearray(LARGEST_PICTURE_BYTES)
        got = 0
        try:
            with memoryview(payload) as view:
                last = False
                while not last:
                    if stop.is_set():
                        self._sending = True
                        return None
                    header = self._read_header(doing, min(until, self._monotonic() + PACKET_S), skip=0)
                    last = header.identifier is Identifier.LAST_DATA
                    if header.identifier not in (Identifier.DATA, Identifier.LAST_DATA):
                        raise DeviceProtocolError(self._name, doing, f"{header.identifier.name} among the data")
                    if got + header.content_bytes > len(payload):
                        raise DeviceProtocolError(self._name, doing, "more data than any picture has")
                    content = view[got : got + header.content_bytes]
                    self._read_content(header, content, doing, min(until, self._monotonic() + PACKET_S))
                    got += header.content_bytes
            packed = payload[:got]
            try:
                return picture(packed)
            finally:
                packed[:] = bytes(got)
        except PacketError as error:
            raise DeviceProtocolError(self._name, doing, str(error)) from error
        finally:
            payload[:] = bytes(len(payload))

    def _image(self, pixels: NDArray[np.uint8]) -> FingerImage | PlaceAgain:
        dark, light = np.percentile(pixels, (1, 99))
        if light - dark < FEWEST_GREY_LEVELS:
            pixels[...] = 0
            return PlaceAgain.EMPTY
        scanner = f"{DRIVER}:{self.info.path}"
        if self._calibration is None:
            return FingerImage(pixels=pixels, dpi=None, scanner=scanner)
        try:
            square, dpi = apply(pixels, self._calibration)
        finally:
            pixels[...] = 0
        return FingerImage(pixels=square, dpi=dpi, scanner=scanner)

    def _find_speed(self, password: bytes | None) -> None:
        for baud in BAUDS:
            self._port.set_baud(baud)
            try:
                status = self._ask(Command.VFY_PWD, password or NO_PASSWORD, within_s=DETECT_S)
            except (DeviceTimeoutError, DeviceProtocolError):
                # At a wrong speed: silence, or what looks like noise. It is over before the next try.
                self._port.read_until_quiet(QUIET_S, self._monotonic() + SILENCE_S)
                continue
            if status == Status.WRONG_PASSWORD:
                # Never tried a second time, nor at another speed: a module may count wrong ones.
                if password is None:
                    raise NotConfiguredError(self._name, "it was given a password, and scanner.zfm.password_file")
                raise PasswordRefusedError(self._name)
            if status == Status.OK:
                return
            raise DeviceProtocolError(self._name, Command.VFY_PWD.name, f"answered {status_name(status)}")
        raise DeviceNotFoundError(self._name, "open", "nothing on this port answers as a fingerprint module")

    def _read_parameters(self) -> SystemParameters:
        doing = Command.READ_SYS_PARA.name
        content = self._exchange(Command.READ_SYS_PARA)
        if content[0] != Status.OK:
            raise DeviceProtocolError(self._name, doing, f"answered {status_name(content[0])}")
        try:
            return decode_system_parameters(content)
        except PacketError as error:
            raise DeviceProtocolError(self._name, doing, str(error)) from error

    def _ask(self, command: Command, parameters: bytes = b"", within_s: float = ANSWER_S) -> int:
        return self._exchange(command, parameters, within_s)[0]

    def _exchange(self, command: Command, parameters: bytes = b"", within_s: float = ANSWER_S) -> bytearray:
        """Send a command; the content of its answer, at least a status."""
        doing = command.name
        self._port.write(encode(Identifier.COMMAND, bytes([command]) + parameters), doing)
        until = self._monotonic() + within_s
        header = self._read_header(doing, until, skip=MOST_SKIPPED_BYTES)
        content = bytearray(header.content_bytes)
        with memoryview(content) as view:
            try:
                self._read_content(header, view, doing, until)
            except PacketError as error:
                raise DeviceProtocolError(self._name, doing, str(error)) from error
        if header.identifier is not Identifier.ANSWER:
            raise DeviceProtocolError(self._name, doing, f"{header.identifier.name} instead of an answer")
        return content

    def _read_header(self, doing: str, until: float, *, skip: int) -> Header:
        """The next header, after at most ``skip`` bytes of noise."""
        head = bytearray(HEADER_BYTES)
        with memoryview(head) as view:
            self._read(view[: len(START)], doing, until)
            while bytes(view[: len(START)]) != START:
                if skip == 0:
                    raise DeviceProtocolError(self._name, doing, "no packet begins where one must")
                skip -= 1
                head[0] = head[1]
                self._read(view[1:2], doing, until)
            self._read(view[len(START) :], doing, until)
            try:
                header = decode_header(view)
            except PacketError as error:
                raise DeviceProtocolError(self._name, doing, str(error)) from error
        if header.address != DEFAULT_ADDRESS:
            raise DeviceProtocolError(self._name, doing, "the answer is of another module")
        return header

    def _read_content(self, header: Header, view: memoryview, doing: str, until: float) -> None:
        """The rest of a packet into ``view``; raises PacketError when its checksum differs."""
        self._read(view, doing, until)
        sent = bytearray(CHECKSUM_BYTES)
        with memoryview(sent) as ending:
            self._read(ending, doing, until)
            check(header, view, ending)

    def _read(self, view: memoryview, doing: str, until: float) -> None:
        got = self._port.read_into(view, until)
        if got < len(view):
            raise DeviceTimeoutError(self._name, doing, f"{got} of {len(view)} bytes came")

    def _end_what_was_sent(self, stop: threading.Event) -> None:
        """Let the rest of a picture go by; when stopped over it, the next capture does."""
        if self._sending:
            self._sending = not self._port.read_until_quiet(QUIET_S, self._monotonic() + SILENCE_S, stop.is_set)
