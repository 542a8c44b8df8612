"""What a counter gets from a scanner behind a device service, and what it says when it gets nothing."""

import re
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import DeviceBusyError, DeviceError, DeviceNotFoundError, DeviceRemovedError
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerState
from drivers.scanner.discovery import Wanted, look
from drivers.scanner.sbi.checks import Doubt
from drivers.scanner.sbi.errors import AnswerRefusedError, DeviceSaysError, Refusal, RootsError
from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.mistakes import Mistake, Quirk
from drivers.scanner.sbi.mock.records import Layout, Variant
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.picture import unpack
from drivers.scanner.sbi.protocol import Level, Status, Verb
from drivers.scanner.sbi.record import Compression, FingerRecord, decode
from drivers.scanner.sbi.scanner import SbiScanner, find
from drivers.scanner.sbi.transport import Wait, ask
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.sbi.conftest import QUICK, Find


def same(image: object, pixels: NDArray[np.uint8]) -> bool:
    return isinstance(image, FingerImage) and np.array_equal(image.pixels, pixels)


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.JPEG2000_LOSSLESS, Compression.PNG])
@pytest.mark.parametrize("variant", Variant)
def test_every_lossless_record_gives_the_very_picture(
    service: MockService, scanner: SbiScanner, pixels: NDArray[np.uint8], compression: Compression, variant: Variant
) -> None:
    """Packed in either way, with or without quality, certification and extended data."""
    service.device.layout = Layout(compression=compression, variant=variant)
    image = scanner.capture(5)
    assert same(image, pixels), "the picture differs from what lay on the glass"
    assert isinstance(image, FingerImage)
    assert image.dpi == 500


def test_a_lossy_record_is_unpacked(service: MockService, scanner: SbiScanner, pixels: NDArray[np.uint8]) -> None:
    """Nearly the picture: what the wavelets left of it."""
    service.device.layout = Layout(compression=Compression.JPEG2000_LOSSY)
    image = scanner.capture(5)
    assert isinstance(image, FingerImage)
    difference = float(np.abs(image.pixels.astype(int) - pixels.astype(int)).mean())
    assert 0 < difference < 20


def test_pixels_to_the_centimetre(service: MockService, scanner: SbiScanner) -> None:
    """197 to the centimetre are 500 to the inch."""
    service.device.layout = Layout(per_cm=True)
    image = scanner.capture(5)
    assert isinstance(image, FingerImage)
    assert image.dpi == pytest.approx(500, abs=1)


def test_what_the_service_is_asked(service: MockService, scanner: SbiScanner) -> None:
    """Texts for every plain value, UTC with its zone, lists where lists belong: strict services take nothing else."""
    scanner.expect(6)
    assert isinstance(scanner.capture(5), FingerImage)
    [asked] = service.device.asked
    [bio] = asked["bio"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", asked.pop("captureTime"))
    assert re.fullmatch(r"[A-Za-z0-9-]{4,50}", asked.pop("transactionId"))
    assert int(asked.pop("timeout")) <= 1000
    assert asked == {
        "env": "Developer",
        "purpose": "Registration",
        "specVersion": "0.9.5",
        "bio": [
            {
                "type": "Finger",
                "count": "1",
                "bioSubType": ["Left Thumb"],
                "exception": [],
                "requestedScore": "60",
                "deviceId": "DEV-MOCK00000001",
                "deviceSubId": "0",
                "previousHash": "",
            }
        ],
        "customOpts": {},
    }
    assert bio["bioSubType"] == ["Left Thumb"]


@pytest.mark.parametrize(("seconds", "at_most"), [(0.8, 800), (30, 1000)])
def test_the_service_is_given_the_time_the_counter_gives(
    service: MockService, scanner: SbiScanner, seconds: float, at_most: int
) -> None:
    """Never more than is left, and never so much that an abandoned capture would block the next one."""
    service.device.glass.lift()
    stop = threading.Event()
    timer = threading.Timer(1.5, stop.set)
    timer.start()
    assert scanner.capture(seconds, stop) is PlaceAgain.NO_FINGER
    timer.join()
    given = [int(one["timeout"]) for one in service.device.asked]
    assert 0 < given[0] <= at_most
    assert seconds < 1 or given[0] == at_most


def test_every_request_has_a_transaction_of_its_own_and_continues_the_chain(
    service: MockService, scanner: SbiScanner, pixels: NDArray[np.uint8]
) -> None:
    """Also those whose pictures are thrown away; the hash of one is the previous hash of the next."""
    assert isinstance(scanner.capture(5), FingerImage)
    first = scanner.notes
    service.device.glass.lift()
    assert scanner.capture(0.3) is PlaceAgain.NO_FINGER
    service.device.glass.place(pixels)
    assert isinstance(scanner.capture(5), FingerImage)
    transactions = [one["transactionId"] for one in service.device.asked]
    assert len(set(transactions)) == len(transactions) >= 3
    assert first is not None
    assert service.device.asked[-1]["bio"][0]["previousHash"] == first.hash


def test_a_new_device_key_is_the_same_device(service: MockService, scanner: SbiScanner) -> None:
    """Device keys change by the month, in the middle of the day."""
    service.device.identity.rotate()
    assert isinstance(scanner.capture(5), FingerImage)


@pytest.mark.parametrize("mistake", [Mistake.WRONG_MAKE, Mistake.WRONG_MODEL, Mistake.WRONG_SERIAL])
def test_a_new_key_of_another_device_is_refused(service: MockService, scanner: SbiScanner, mistake: Mistake) -> None:
    """Every field has to be equal: two of three are another device."""
    service.device.identity.rotate()
    service.device.mistake = mistake
    with pytest.raises(AnswerRefusedError) as refused:
        scanner.capture(5)
    assert refused.value.refusal is Refusal.DIGITAL_ID


@pytest.mark.parametrize(
    "quirks",
    [
        {Quirk.SCORE_WITH_POINT},
        {Quirk.EXTRA_LINES},
        {Quirk.KEEPS_OPEN},
        {Quirk.NO_LENGTH},
        {Quirk.EXTRA_LINES, Quirk.KEEPS_OPEN},
    ],
    ids=lambda one: "+".join(sorted(one)),
)
def test_oddities_of_services_in_the_field_are_lived_with(
    service: MockService, scanner: SbiScanner, quirks: set[Quirk]
) -> None:
    """44.0 for 44, empty lines behind the body, a connection that stays open, no length at all."""
    service.device.quirks = frozenset(quirks)
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes is not None
    assert scanner.notes.quality == 75


@pytest.mark.parametrize(
    ("quirk", "doubt"), [(Quirk.OLD_CLOCK, Doubt.CLOCK), (Quirk.POSITION_UNKNOWN, Doubt.POSITION_UNKNOWN)]
)
def test_what_is_doubtful_is_noted(service: MockService, scanner: SbiScanner, quirk: Quirk, doubt: Doubt) -> None:
    """Neither accepted in silence nor refused."""
    service.device.quirks = frozenset({quirk})
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes is not None
    assert scanner.notes.doubts == (doubt, Doubt.NOT_PRODUCTION)


def test_a_production_device_leaves_no_doubt(
    identity: object, service: MockService, device: MockDevice, find_it: Find
) -> None:
    """The ordinary case has no notes at all."""
    del identity
    device.environment = "Production"
    [source] = find((service.port, service.port), find_it()._terms.roots, "Production", QUICK)
    with source.open() as scanner:
        assert isinstance(scanner, SbiScanner)
        assert isinstance(scanner.capture(5), FingerImage)
        assert scanner.notes is not None
        assert scanner.notes.doubts == ()


def test_the_clock_of_the_service_is_measured(service: MockService, find_it: Find) -> None:
    """The technician reads how far it is off before pictures are refused for it."""
    service.device.quirks = frozenset({Quirk.OLD_CLOCK})
    with find_it().open() as scanner:
        assert scanner.clock_skew.total_seconds() == pytest.approx(-60, abs=10)


def test_liveness_is_what_the_device_says(service: MockService, scanner: SbiScanner) -> None:
    """Kept in its own words beside the picture; without the words there is none."""
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes is not None
    assert scanner.notes.liveness is None
    service.device.quirks = frozenset({Quirk.LIVENESS})
    service.device.glass.lift()
    assert scanner.capture(0.3) is PlaceAgain.NO_FINGER
    service.device.glass.place_synthetic(2, 1)
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes.liveness == "live 0.97"


def test_a_worn_finger_is_handed_on_with_a_note(service: MockService, scanner: SbiScanner) -> None:
    """The best the service has, when its time is over: the agent judges the picture itself."""
    service.device.score = 22
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes is not None
    assert scanner.notes.quality == 22
    assert Doubt.BELOW_REQUESTED in scanner.notes.doubts


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("100", DeviceSaysError),
        ("103", DeviceSaysError),
        ("107", DeviceSaysError),
        ("110", DeviceBusyError),
        ("111", DeviceBusyError),
        ("703", DeviceBusyError),
        ("106", DeviceRemovedError),
        ("705", DeviceRemovedError),
        ("710", DeviceSaysError),
        ("123", DeviceSaysError),
        ("5000001", DeviceSaysError),
        ("no number", DeviceSaysError),
    ],
)
def test_what_the_service_reports_is_told_by_cause(
    service: MockService, scanner: SbiScanner, number: str, kind: type[DeviceError]
) -> None:
    """Known codes by what can be done about them, unknown ones as what the device says; never as another finger."""
    service.device.error = (number, "words\nof the maker")
    with pytest.raises(kind) as told:
        scanner.capture(1)
    assert type(told.value) is kind
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("101", PlaceAgain.NO_FINGER),
        ("701", PlaceAgain.NO_FINGER),
        ("105", PlaceAgain.EMPTY),
        ("102", PlaceAgain.EMPTY),
    ],
)
def test_what_the_member_can_put_right_is_no_failure(
    service: MockService, scanner: SbiScanner, number: str, value: PlaceAgain
) -> None:
    """No finger, a crooked finger, a picture that could not be read: asked for again."""
    service.device.error = (number, "")
    assert scanner.capture(1) is value


def test_a_failure_that_passes_is_tried_again(service: MockService, scanner: SbiScanner) -> None:
    """The service was busy with somebody else; the member notices nothing."""
    service.device.error = ("703", "")
    timer = threading.Timer(0.15, lambda: setattr(service.device, "error", None))
    timer.start()
    assert isinstance(scanner.capture(10), FingerImage)
    timer.join()


def test_an_unknown_failure_is_tried_once_more(service: MockService, scanner: SbiScanner) -> None:
    """And no more than that."""
    service.device.error = ("810", "")
    with pytest.raises(DeviceSaysError):
        scanner.capture(10)
    assert len(service.device.asked) == 2


def test_a_device_that_became_busy_is_waited_for(service: MockService, scanner: SbiScanner) -> None:
    """What was ready when it was found is asked again before the capture."""
    service.device.status = Status.BUSY
    timer = threading.Timer(0.15, lambda: setattr(service.device, "status", Status.READY))
    timer.start()
    assert isinstance(scanner.capture(10), FingerImage)
    timer.join()
    service.device.status = Status.NOT_READY
    service.device.asked.clear()
    with pytest.raises(DeviceBusyError):
        scanner.capture(0.1)
    assert service.device.asked == []


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
        (Status.BUSY, ScannerState.BUSY, DeviceBusyError),
        (Status.NOT_READY, ScannerState.BUSY, DeviceBusyError),
        (Status.NOT_REGISTERED, ScannerState.NOT_CONFIGURED, DeviceSaysError),
    ],
)
def test_a_device_that_cannot_be_used_now_is_listed_as_such(
    service: MockService, find_it: Find, status: Status, state: ScannerState, kind: type[DeviceError]
) -> None:
    """The list says so without opening it, and opening says why."""
    service.device.status = status
    source = find_it()
    assert source.info.state is state
    with pytest.raises(kind):
        source.open()


def test_what_the_list_says(find_it: Find, service: MockService) -> None:
    """Maker, model, serial and place; the scale comes with each picture."""
    info = find_it().info
    assert (info.driver, info.name, info.serial) == ("sbi", "CONTOH MOCK-1", "MOCK00000001")
    assert info.path == f"127.0.0.1:{service.port}/DEV-MOCK00000001"
    assert (info.dpi, info.calibration, info.state) == (None, "device", ScannerState.READY)
    assert not info.measurable, "a measurement that nothing reads is asked for"


def test_two_services_are_both_found(device: MockDevice, find_it: Find) -> None:
    """Two makers' services run side by side, each at its port; other programs between them are left alone."""
    roots = find_it()._terms.roots
    with MockService(device, range(14501, 14560)) as one:
        other = MockDevice(device.identity, serial="MOCK00000002")
        with MockService(other, range(one.port + 1, 14600)) as two:
            found = find((one.port, two.port), roots, "Developer", QUICK)
    assert [source.info.serial for source in found] == ["MOCK00000001", "MOCK00000002"]


def test_a_port_that_keeps_silent_does_not_hide_the_others(
    service: MockService, device: MockDevice, roots: object, find_it: Find
) -> None:
    """A program that listens in the range and never answers costs its time-out, nothing else."""
    del roots
    folder = find_it()._terms.roots
    other = MockDevice(device.identity, serial="MOCK00000002")
    with MockService(other, range(service.port + 1, service.port + 50)) as two:
        service.mistaken = frozenset({"MOSIPDISC"})
        device.mistake = Mistake.SILENT
        wanted = Wanted(driver="sbi", sbi_ports=(service.port, two.port), sbi_roots=folder, sbi_environment="Developer")
        found = look(wanted)
    assert [source.info.serial for source in found.sources] == ["MOCK00000002"]


def test_a_service_that_came_back_elsewhere_is_found_anew(
    service: MockService, find_it: Find, pixels: NDArray[np.uint8]
) -> None:
    """Between discovery and opening it was started again and took another port."""
    before = find_it()
    service.unplug()
    service.plug(0)
    service.device.glass.place(pixels)
    with pytest.raises(DeviceNotFoundError):
        before.open()
    with find_it().open() as scanner:
        assert isinstance(scanner.capture(5), FingerImage)


def test_another_device_behind_the_same_door_is_not_used(service: MockService, find_it: Find) -> None:
    """The scanner was swapped after it was found: find it again, knowingly."""
    before = find_it()
    service.device.serial = "MOCK00000009"
    with pytest.raises(AnswerRefusedError) as refused:
        before.open()
    assert refused.value.refusal is Refusal.DIGITAL_ID


def test_hanging_up_frees_the_device(service: MockService, scanner: SbiScanner, pixels: NDArray[np.uint8]) -> None:
    """Cancelling closes the connection; the next capture does not find the device busy with the old one."""
    service.device.glass.lift()
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    assert scanner.capture(30, stop) is PlaceAgain.NO_FINGER
    timer.join()
    service.device.glass.place(pixels)
    assert isinstance(scanner.capture(5), FingerImage)


def test_nothing_is_left_after_many_rounds(service: MockService, find_it: Find, pixels: NDArray[np.uint8]) -> None:
    """Captures, vain waits, services that go away and come back leave no thread and no descriptor behind."""

    def a_round() -> None:
        service.device.glass.place(pixels)
        with find_it().open() as scanner:
            assert isinstance(scanner.capture(5), FingerImage)
            service.device.glass.lift()
            assert scanner.capture(0.01) is PlaceAgain.NO_FINGER
            service.unplug()
            with pytest.raises(DeviceRemovedError):
                scanner.capture(5)
        service.plug()

    a_round()
    with nothing_left():
        for _ in range(8):
            a_round()


def test_a_picture_that_is_not_handed_on_is_overwritten(scanner: SbiScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is zeros when the capture is over; only the pixels that were handed on are left."""
    records: list[bytearray] = []

    def watched(record: FingerRecord) -> NDArray[np.uint8]:
        owner = record.image.obj
        assert isinstance(owner, bytearray)
        records.append(owner)
        return unpack(record)

    monkeypatch.setattr("drivers.scanner.sbi.scanner.unpack", watched)
    assert isinstance(scanner.capture(5), FingerImage)
    [record] = records
    assert len(record) > 1000
    assert not any(record), "the record is still in memory"


def test_a_record_that_is_refused_is_overwritten(
    service: MockService, scanner: SbiScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong answer may hold a right finger."""
    records: list[bytearray] = []

    def watched(content: bytearray) -> FingerRecord:
        records.append(content)
        return decode(content)

    monkeypatch.setattr("drivers.scanner.sbi.record.decode", watched)
    service.device.mistake = Mistake.QUALITY_IN_WORDS
    with pytest.raises(AnswerRefusedError):
        scanner.capture(5)
    [record] = records
    assert len(record) > 1000
    assert not any(record), "the record is still in memory"


def test_after_a_failure_it_has_to_be_opened_anew(service: MockService, scanner: SbiScanner) -> None:
    """Whoever goes on with a scanner that failed is told so, also when its service is well again."""
    service.device.mistake = Mistake.HANGS_UP
    with pytest.raises(AnswerRefusedError):
        scanner.capture(5)
    service.device.mistake = None
    with pytest.raises(DeviceRemovedError, match="open it again"):
        scanner.capture(5)


def test_a_finger_left_there_is_not_pictured_twice(service: MockService, scanner: SbiScanner) -> None:
    """The interface has no word for it: the glass is looked at until it was seen empty."""
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.capture(0.2) is PlaceAgain.LIFT_FIRST
    service.device.glass.lift()
    assert scanner.capture(0.3) is PlaceAgain.NO_FINGER


@pytest.mark.parametrize("mistake", [None, Mistake.HANGS_UP, Mistake.BROKEN_HASH_CHAIN, Mistake.ANOTHER_SIZE])
def test_an_answer_is_overwritten(
    service: MockService, scanner: SbiScanner, monkeypatch: pytest.MonkeyPatch, mistake: Mistake | None
) -> None:
    """Whether its picture was taken or refused."""
    answers: list[bytearray] = []

    def watched(port: int, verb: Verb, body: bytes, wait: Wait) -> bytearray:
        answers.append(ask(port, verb, body, wait))
        return answers[-1]

    monkeypatch.setattr("drivers.scanner.sbi.scanner.ask", watched)
    service.device.mistake = mistake
    if mistake is None:
        assert isinstance(scanner.capture(5), FingerImage)
    else:
        with pytest.raises(AnswerRefusedError):
            scanner.capture(5)
    # The first answer is the discovery's, which holds nothing of anybody.
    assert not any(any(answer) for answer in answers[1:]), "an answer is still in memory"
    assert len(answers) == (1 if mistake is Mistake.HANGS_UP else 2)


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_folder_that_vouches_for_nothing_is_named(service: MockService, find_it: Find, content: bytes | None) -> None:
    """The technician reads which folder, and which file."""
    source = find_it()
    folder = source._terms.roots
    for file in folder.glob("*.pem"):
        file.unlink()
    if content is not None:
        (folder / "root.pem").write_bytes(content)
    with pytest.raises(RootsError) as told:
        source.open()
    assert told.value.folder == str(folder)
    del service


def test_level_l1_is_used_like_any_other(service: MockService, device: MockDevice, find_it: Find) -> None:
    """The chip signs who it is, the service's key what it saw."""
    device.level = Level.L1
    with find_it().open() as scanner:
        assert isinstance(scanner.capture(5), FingerImage)
    del service
