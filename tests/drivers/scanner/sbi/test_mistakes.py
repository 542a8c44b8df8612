"""Whatever a device service does wrong is refused, each mistake by its own name, and no picture comes of it."""

import pytest

from drivers.errors import DeviceError, DeviceTimeoutError
from drivers.scanner.base import FingerImage
from drivers.scanner.discovery import Wanted, look
from drivers.scanner.sbi.errors import AnswerRefusedError, Refusal
from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.mistakes import Mistake
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.protocol import Level, Verb
from drivers.scanner.sbi.scanner import SbiScanner, find
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.sbi.conftest import IMPATIENT, QUICK, Find

IN_A_CAPTURE = {
    Mistake.HANGS_UP: Refusal.CUT_SHORT,
    Mistake.OVERSIZED: Refusal.OVERSIZED,
    Mistake.LENGTH_TOO_LARGE: Refusal.CUT_SHORT,
    Mistake.CONTENT_TYPE: Refusal.CONTENT_TYPE,
    Mistake.HTTP_ERROR: Refusal.STATUS,
    Mistake.NOT_HTTP: Refusal.NOT_HTTP,
    Mistake.TRUNCATED_JSON: Refusal.NOT_JSON,
    Mistake.TWO_VALUES: Refusal.NOT_JSON,
    Mistake.WRONG_SHAPE: Refusal.SHAPE,
    Mistake.DATA_AND_ERROR: Refusal.DATA_AND_ERROR,
    Mistake.ENCRYPTED: Refusal.ENCRYPTED,
    Mistake.UNSIGNED: Refusal.NOT_SIGNED,
    Mistake.ALGORITHM_NONE: Refusal.ALGORITHM,
    Mistake.ALGORITHM_HS256: Refusal.ALGORITHM,
    Mistake.NO_CERTIFICATE: Refusal.NO_CERTIFICATE,
    Mistake.BROKEN_SIGNATURE: Refusal.SIGNATURE,
    Mistake.WRONG_CHAIN: Refusal.CERTIFICATE_CHAIN,
    Mistake.EXPIRED_LEAF: Refusal.CERTIFICATE_EXPIRED,
    Mistake.FUTURE_LEAF: Refusal.CERTIFICATE_NOT_YET,
    Mistake.WRONG_TRANSACTION: Refusal.TRANSACTION,
    Mistake.WRONG_VERSION: Refusal.VERSION,
    Mistake.WRONG_PURPOSE: Refusal.PURPOSE,
    Mistake.WRONG_ENVIRONMENT: Refusal.ENVIRONMENT,
    Mistake.NO_FINGERS: Refusal.COUNT,
    Mistake.EXTRA_FINGER: Refusal.COUNT,
    Mistake.FINGER_TWICE: Refusal.FINGER_TWICE,
    Mistake.WRONG_FINGER: Refusal.FINGER,
    Mistake.WRONG_TYPE: Refusal.TYPE,
    Mistake.WRONG_MAKE: Refusal.DIGITAL_ID,
    Mistake.WRONG_MODEL: Refusal.DIGITAL_ID,
    Mistake.WRONG_SERIAL: Refusal.DIGITAL_ID,
    Mistake.WRONG_PROVIDER: Refusal.DIGITAL_ID,
    Mistake.WRONG_DEVICE_CODE: Refusal.DEVICE_CODE,
    Mistake.UNSIGNED_DIGITAL_ID: Refusal.NOT_SIGNED,
    Mistake.STRANGE_DIGITAL_ID: Refusal.CERTIFICATE_CHAIN,
    Mistake.BROKEN_HASH_CHAIN: Refusal.HASH_CHAIN,
    Mistake.TIME_OLD: Refusal.TIME_OLD,
    Mistake.TIME_AHEAD: Refusal.TIME_AHEAD,
    Mistake.TIME_WITHOUT_ZONE: Refusal.TIME_FORM,
    Mistake.RECORD_CUT: Refusal.RECORD,
    Mistake.RECORD_2005: Refusal.RECORD_EDITION,
    Mistake.WRONG_POSITION: Refusal.POSITION,
    Mistake.DEPTH_16: Refusal.DEPTH,
    Mistake.COARSE: Refusal.RESOLUTION,
    Mistake.WSQ: Refusal.COMPRESSION,
    Mistake.PACKED: Refusal.COMPRESSION,
    Mistake.JPEG: Refusal.COMPRESSION,
    Mistake.ANOTHER_SIZE: Refusal.PICTURE,
    Mistake.QUALITY_IN_WORDS: Refusal.QUALITY,
    Mistake.QUALITY_BEYOND: Refusal.QUALITY,
}
IN_THE_NEXT_CAPTURE = {Mistake.PLAYED_AGAIN: Refusal.TRANSACTION, Mistake.FORGOTTEN_HASH: Refusal.HASH_CHAIN}
NEVER_DONE = {Mistake.SILENT, Mistake.NEVER_ENDING, Mistake.DRIPPING}
AT_OPENING = {
    Mistake.SPEAKS_0_9_2: Refusal.VERSION,
    Mistake.AUTH_DEVICE: Refusal.PURPOSE,
    Mistake.SLAP_DEVICE: Refusal.DEVICE_KIND,
    Mistake.ANOTHER_DEVICE: Refusal.DIGITAL_ID,
    Mistake.UNSIGNED: Refusal.NOT_SIGNED,
    Mistake.ALGORITHM_NONE: Refusal.ALGORITHM,
    Mistake.BROKEN_SIGNATURE: Refusal.SIGNATURE,
    Mistake.WRONG_CHAIN: Refusal.CERTIFICATE_CHAIN,
    Mistake.EXPIRED_LEAF: Refusal.CERTIFICATE_EXPIRED,
    Mistake.UNSIGNED_DIGITAL_ID: Refusal.NOT_SIGNED,
    Mistake.STRANGE_DIGITAL_ID: Refusal.CERTIFICATE_CHAIN,
}
IN_DISCOVERY = {Mistake.CALLBACK_ELSEWHERE: Refusal.CALLBACK, Mistake.DIALECT_1_0: Refusal.VERSION}


def test_every_mistake_is_tried() -> None:
    """A mistake the mock learns later is tried as well, or this says so."""
    tried = {*IN_A_CAPTURE, *IN_THE_NEXT_CAPTURE, *NEVER_DONE, *AT_OPENING, *IN_DISCOVERY, Mistake.LENGTH_TOO_SMALL}
    assert set(Mistake) == tried


@pytest.mark.parametrize(("mistake", "refusal"), IN_A_CAPTURE.items(), ids=lambda one: one.value)
def test_a_wrong_answer_to_a_capture_is_refused_by_name(
    device: MockDevice, find_it: Find, mistake: Mistake, refusal: Refusal
) -> None:
    """The log says what was wrong; right answers from the same service are taken again afterwards."""
    with find_it().open() as scanner:
        device.mistake = mistake
        with pytest.raises(AnswerRefusedError) as refused:
            scanner.capture(5)
        assert refused.value.refusal is refusal
        assert scanner.notes is None
    device.mistake = None
    with find_it().open() as scanner:
        assert isinstance(scanner.capture(5), FingerImage)


@pytest.mark.parametrize(("mistake", "refusal"), IN_THE_NEXT_CAPTURE.items(), ids=lambda one: one.value)
def test_an_answer_of_yesterday_is_refused(
    service: MockService, scanner: SbiScanner, mistake: Mistake, refusal: Refusal
) -> None:
    """A signed answer that was right once does not pass a second time, nor a chain that begins anew."""
    assert isinstance(scanner.capture(5), FingerImage)
    service.device.mistake = mistake
    with pytest.raises(AnswerRefusedError) as refused:
        scanner.capture(5)
    assert refused.value.refusal is refusal


@pytest.mark.parametrize("mistake", sorted(NEVER_DONE))
def test_an_answer_that_never_ends_is_given_up(device: MockDevice, find_it: Find, mistake: Mistake) -> None:
    """The counter hears of it within the time-out, the service can be used again, nothing of the wait is left."""

    def given_up() -> None:
        with find_it(IMPATIENT).open() as scanner:
            device.mistake = mistake
            with pytest.raises(DeviceTimeoutError):
                scanner.capture(2)
        device.mistake = None

    given_up()
    with nothing_left():
        given_up()
    with find_it().open() as scanner:
        assert isinstance(scanner.capture(5), FingerImage)


def test_a_flood_is_cut_off(service: MockService, scanner: SbiScanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that sends without end is stopped at the bound, not when memory runs out."""
    monkeypatch.setattr("drivers.scanner.sbi.transport.LARGEST_BODY_BYTES", 4096)
    service.device.mistake = Mistake.NEVER_ENDING
    with pytest.raises(AnswerRefusedError) as refused:
        scanner.capture(5)
    assert refused.value.refusal is Refusal.OVERSIZED


@pytest.mark.parametrize("mistake", [Mistake.SILENT, Mistake.HANGS_UP, Mistake.TRUNCATED_JSON, Mistake.NOT_HTTP])
@pytest.mark.parametrize("verb", [Verb.DISCOVER, Verb.INFO])
def test_a_line_that_breaks_before_the_capture(
    service: MockService, device: MockDevice, find_it: Find, mistake: Mistake, verb: Verb
) -> None:
    """Opening says what is wrong, at either of its questions."""
    source = find_it(IMPATIENT)
    service.mistaken = frozenset({verb})
    device.mistake = mistake
    with pytest.raises(DeviceError) as told:
        source.open()
    assert told.value.code in {"device_timeout", "sbi_answer_refused"}


def test_a_length_that_is_too_small_is_survived(service: MockService, scanner: SbiScanner) -> None:
    """Services count characters instead of bytes; all that came is read."""
    service.device.mistake = Mistake.LENGTH_TOO_SMALL
    assert isinstance(scanner.capture(5), FingerImage)


@pytest.mark.parametrize(("mistake", "refusal"), AT_OPENING.items(), ids=lambda one: one.value)
def test_a_device_that_is_not_what_it_should_be_is_not_opened(
    device: MockDevice, find_it: Find, mistake: Mistake, refusal: Refusal
) -> None:
    """It is listed, so that the technician sees it; opening says why it cannot be used."""
    device.mistake = mistake
    source = find_it()
    with pytest.raises(AnswerRefusedError) as refused:
        source.open()
    assert refused.value.refusal is refusal


@pytest.mark.parametrize(("mistake", "refusal"), IN_DISCOVERY.items(), ids=lambda one: one.value)
def test_a_service_that_is_not_ours_to_call_is_not_listed(
    device: MockDevice, find_it: Find, mistake: Mistake, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    """An address elsewhere, or a dialect that cannot be spoken: the log has the reason."""
    device.mistake = mistake
    with caplog.at_level("INFO"), pytest.raises(ValueError, match="not enough values"):
        find_it()
    assert refusal.value in caplog.text


@pytest.mark.parametrize("mistake", [Mistake.WRONG_CHAIN, Mistake.STRANGE_DIGITAL_ID])
def test_a_secure_chip_is_not_vouched_for_by_the_roots_of_device_keys(
    device: MockDevice, find_it: Find, mistake: Mistake
) -> None:
    """Level L1: the digital id leads to its own roots; those for device keys do not stand in for them."""
    device.level = Level.L1
    with find_it().open() as scanner:
        assert isinstance(scanner.capture(5), FingerImage)
        device.glass.lift()
    device.mistake = mistake
    with pytest.raises(AnswerRefusedError) as refused:
        find_it().open()
    assert refused.value.refusal is Refusal.CERTIFICATE_CHAIN
    device.mistake, device.identity.ftm = None, device.identity.device
    with pytest.raises(AnswerRefusedError) as refused:
        find_it().open()
    assert refused.value.refusal is Refusal.CERTIFICATE_CHAIN


def test_a_device_for_developers_does_not_slip_into_a_counter(service: MockService, find_it: Find) -> None:
    """The environment is set by the technician, not by the device."""
    [source] = find((service.port, service.port), find_it()._terms.roots, "Production", QUICK)
    with pytest.raises(AnswerRefusedError) as refused:
        source.open()
    assert refused.value.refusal is Refusal.ENVIRONMENT


def test_without_roots_no_service_is_asked(service: MockService) -> None:
    """Nothing could be believed, so nothing is looked for."""
    assert find((service.port, service.port), None) == []
    assert look(Wanted(driver="sbi", sbi_ports=(service.port, service.port))).sources == ()
