"""JSON from a stranger, and the times in it."""

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from drivers.scanner.sbi import answers, moments
from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.identity import Discovered, check_fit, discovered
from drivers.scanner.sbi.mock.identity import base64url
from drivers.scanner.sbi.trust import SKEW_BAND

PORTS = range(4501, 4601)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a": 1} {"a": 1}',
        b'{"a": 1}x',
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_not_one_clean_value_is_refused(content: bytes) -> None:
    """Cut off, two values, a key twice, no number, no UTF-8, too deep, beyond measure."""
    with pytest.raises(WrongAnswerError) as refused:
        answers.parse(content)
    assert refused.value.refusal is Refusal.NOT_JSON


def test_line_ends_behind_the_value_are_nothing() -> None:
    """As services send them."""
    assert answers.parse(b'{"a": 1}\r\n\r\n') == {"a": 1}


def test_a_refusal_does_not_carry_the_document() -> None:
    """An answer that is cut off may hold half a finger: it must not travel in an error."""
    with pytest.raises(WrongAnswerError) as refused:
        answers.parse(b'{"bioValue": "c2VjcmV0')
    told: BaseException | None = refused.value
    assert "c2VjcmV0" not in repr(told)
    assert told is not None
    assert told.__cause__ is None
    assert told.__suppress_context__


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, None),
        ({"errorCode": "0", "errorInfo": "success"}, None),
        ({"errorCode": "", "errorInfo": ""}, None),
        ({}, None),
        ({"errorCode": "701", "errorInfo": "time-out"}, ("701", "time-out")),
        ({"errorCode": 701}, ("701", "")),
        ({"errorCode": "7\n01", "errorInfo": "a\x1bb" + "c" * 500}, ("unknown", "ab" + "c" * 197)),
    ],
)
def test_error_nodes(error: object, told: object) -> None:
    """Codes are texts, may be missing, may be rubbish; words are made fit for a log."""
    assert answers.error_of({"error": error}) == told


@pytest.mark.parametrize(
    "moment",
    ["2026-01-02T03:04:05", "2026-01-02T03:04:05+07:00", "2026-13-02T03:04:05Z", "2026-01-02 03:04:05Z", "now", ""],
)
def test_times_without_their_zone_are_refused(moment: str) -> None:
    """It could be any hour."""
    with pytest.raises(WrongAnswerError) as refused:
        moments.read(moment)
    assert refused.value.refusal is Refusal.TIME_FORM


@pytest.mark.parametrize(
    ("seconds", "refusal"), [(-181, Refusal.TIME_OLD), (-179, None), (0, None), (189, None), (191, Refusal.TIME_AHEAD)]
)
def test_a_capture_lies_between_its_request_and_now(seconds: int, refusal: Refusal | None) -> None:
    """Ten seconds lie between the two here, and three minutes of band on either side."""
    asked = moments.read("2026-01-02T03:04:05Z")
    said = asked + datetime.timedelta(seconds=seconds)
    if refusal is None:
        moments.check(said, asked, asked + datetime.timedelta(seconds=10), SKEW_BAND)
        return
    with pytest.raises(WrongAnswerError) as refused:
        moments.check(said, asked, asked + datetime.timedelta(seconds=10), SKEW_BAND)
    assert refused.value.refusal is refusal


def test_times_are_written_in_utc() -> None:
    """Whatever the zone of the clock they were read from."""
    jayapura = datetime.timezone(datetime.timedelta(hours=9))
    assert moments.written(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=jayapura)) == "2026-01-01T18:04:05Z"


@pytest.mark.parametrize(
    "address",
    [
        "http://192.0.2.1:4501/",
        "http://localhost:4501/",
        "https://127.0.0.1:4501/",
        "http://127.0.0.1:4501@192.0.2.1/",
        "http://127.0.0.1:4600.example/",
        "http://127.0.0.1:80/",
        "http://127.0.0.1:4601/",
        "http://127.0.0.1:٤٥٠١/",
        "http://127.0.0.1/",
        "",
    ],
)
def test_a_device_is_called_at_the_loopback_address_alone(address: str) -> None:
    """Anything that could lead elsewhere, also by a trick, is refused."""
    item = (
        '[{"deviceStatus": "Ready", "digitalId": "e30", "deviceId": "D", "specVersion": ["0.9.5"],'
        f'"certification": "L0", "purpose": "Registration", "callbackId": "{address}"}}]'
    )
    with pytest.raises(WrongAnswerError) as refused:
        discovered(bytearray(item.encode("utf-8")), PORTS)
    assert refused.value.refusal is Refusal.CALLBACK


DISCOVERED = {
    "deviceId": "D",
    "deviceStatus": "Ready",
    "certification": "L0",
    "deviceCode": "S",
    "callbackId": "http://127.0.0.1:4501/",
    "specVersion": ["0.9.5"],
    "purpose": "Registration",
    "digitalId": {
        "serialNo": "S",
        "make": "M",
        "model": "N",
        "type": "Finger",
        "deviceSubType": "Single",
        "deviceProvider": "P",
        "deviceProviderId": "Q",
    },
}


def _discovered(**changed: object) -> list[Discovered]:
    said = DISCOVERED | changed
    encoded = base64url(json.dumps(said["digitalId"]).encode("ascii"))
    said["digitalId"] = changed.get("digitalId", encoded)
    return discovered(bytearray(json.dumps([said]).encode("utf-8")), PORTS)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"specVersion": [5]}, Refusal.SHAPE),
        ({"specVersion": []}, Refusal.SHAPE),
        ({"specVersion": ["9" * 201]}, Refusal.SHAPE),
        ({"deviceId": 5}, Refusal.SHAPE),
        ({"deviceId": "D" * 201}, Refusal.SHAPE),
        ({"deviceStatus": "Asleep"}, Refusal.SHAPE),
        ({"deviceCode": "another"}, Refusal.DEVICE_CODE),
        ({"digitalId": "no base64!"}, Refusal.DIGITAL_ID),
        ({"digitalId": "A"}, Refusal.DIGITAL_ID),
        ({"digitalId": "W10"}, Refusal.SHAPE),
    ],
)
def test_a_discovered_device_with_one_wrong_field(changed: dict[str, object], refusal: Refusal) -> None:
    """Kinds, lengths and words are checked before anything is done with them."""
    assert _discovered()
    assert _discovered(specVersion="0.9.5") == _discovered()
    with pytest.raises(WrongAnswerError) as refused:
        _discovered(**changed)
    assert refused.value.refusal is refusal


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"specVersion": ["0.9.2"]}, Refusal.VERSION),
        ({"specVersion": ["1.0"]}, Refusal.VERSION),
        ({"purpose": "Auth"}, Refusal.PURPOSE),
        ({"purpose": ""}, Refusal.PURPOSE),
        ({"type": "Iris"}, Refusal.TYPE),
        ({"deviceSubType": "Slap"}, Refusal.DEVICE_KIND),
    ],
)
def test_one_wrong_property_is_enough(changed: dict[str, object], refusal: Refusal) -> None:
    """Ready, certified and of the right kind does not make up for another version, and so on for each of them."""
    check_fit(_discovered()[0])
    said = DISCOVERED | changed
    said["digitalId"] = base64url(json.dumps(DISCOVERED["digitalId"] | changed).encode("ascii"))  # type: ignore[operator]
    [found] = discovered(bytearray(json.dumps([said]).encode("utf-8")), PORTS)
    with pytest.raises(WrongAnswerError) as refused:
        check_fit(found)
    assert refused.value.refusal is refusal


@given(some.binary(max_size=100))
def test_any_bytes_are_refused_or_a_value(content: bytes) -> None:
    """Never another error."""
    try:
        discovered(bytearray(content), PORTS)
    except WrongAnswerError:
        return


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(max_size=5),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(
                some.sampled_from(["error", "biometrics", "data", "digitalId", "deviceStatus", "errorCode"]),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_value_is_refused_or_empty(value: object) -> None:
    """Shapes nobody thought of end as a refusal by name."""
    content = json.dumps([value]).encode("utf-8")
    try:
        assert discovered(bytearray(content), PORTS) == []
    except WrongAnswerError:
        return
