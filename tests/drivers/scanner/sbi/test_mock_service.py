"""The service partners develop against: as strict as the real ones, and it can be set up while it runs."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.scanner.sbi.mock.device import MockDevice, parsed
from drivers.scanner.sbi.mock.mistakes import Mistake
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.scanner import SbiScanner, find
from tests.drivers.scanner.sbi.conftest import Find


def call(port: int, line: str, body: Any = None, length: str | None = None) -> tuple[str, bytes]:
    """Status line and body, as any client would see them."""
    content = b"" if body is None else json.dumps(body).encode("utf-8")
    header = f"Content-Length: {len(content)}" if length is None else length
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n{header}\r\n\r\n".encode("ascii") + content)
        received = b""
        while more := connection.recv(65536):
            received += more
    head, _, answer = received.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[0], answer


def asked(**changed: Any) -> dict[str, Any]:
    """A capture request as it should be, but for what is changed; keys of ``bio`` by their names."""
    bio = {
        "type": "Finger",
        "count": "1",
        "bioSubType": ["Right IndexFinger"],
        "exception": [],
        "requestedScore": "60",
        "deviceId": "DEV-MOCK00000001",
        "deviceSubId": "0",
        "previousHash": "",
    }
    request = {
        "env": "Developer",
        "purpose": "Registration",
        "specVersion": "0.9.5",
        "timeout": "200",
        "captureTime": "2026-01-02T03:04:05Z",
        "transactionId": "a1b2c3d4-0001",
    }
    bio |= {key: value for key, value in changed.items() if key in bio}
    request |= {key: value for key, value in changed.items() if key not in bio}
    return request | {"bio": [bio], "customOpts": {}}


def answered(port: int, verb: str = "RCAPTURE", **changed: Any) -> list[dict[str, Any]]:
    _, body = call(port, f"{verb} /capture", asked(**changed))
    items = parsed(body)["biometrics"]
    assert isinstance(items, list)
    return items


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"timeout": 200}, "123"),
        ({"count": 1}, "123"),
        ({"env": ""}, "123"),
        ({"previousHash": None}, "123"),
        ({"bioSubType": None}, "123"),
        ({"exception": None}, "123"),
        ({"requestedScore": "many"}, "123"),
        ({"transactionId": "a!"}, "112"),
        ({"transactionId": "a" * 51}, "112"),
        ({"env": "Staging"}, "115"),
        ({"purpose": "Auth"}, "121"),
        ({"type": "Iris"}, "114"),
        ({"deviceId": "other"}, "705"),
        ({"count": "2"}, "113"),
        ({"bioSubType": ["Right Toe"]}, "119"),
        ({"bioSubType": ["UNKNOWN"]}, "119"),
        ({"exception": ["Left Toe"]}, "117"),
        ({"exception": ["Left Thumb"]}, "118"),
    ],
)
def test_a_wrong_request_earns_its_code(service: MockService, changed: dict[str, Any], number: str) -> None:
    """A client that sends numbers, null or nonsense learns it here and not at the counter."""
    [item] = answered(service.port, **changed)
    assert item["error"]["errorCode"] == number
    assert (item["data"], item["hash"]) == ("", "")


def test_a_lenient_service_takes_numbers_and_missing_lists(service: MockService, device: MockDevice) -> None:
    """As some in the field do."""
    device.strict = False
    [item] = answered(service.port, timeout=200, count=1, previousHash=None, exception=None, bioSubType=None)
    assert item["error"]["errorCode"] == "0"


def test_a_length_in_other_letters_is_no_length(service: MockService) -> None:
    """Services in the field look for exactly Content-Length."""
    _, body = call(service.port, "RCAPTURE /capture", asked(), length="content-length: 400")
    assert parsed(body)["biometrics"][0]["error"]["errorCode"] == "123"


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("MOSIPDISC /device", {"type": "Finger"}, "200"),
        ("MOSIPDISC http://127.0.0.1:4501/device", {"type": "Biometric Device"}, "200"),
        ("MOSIPDINFO /info", None, "200"),
        ("OPTIONS /capture", None, "200"),
        ("GET /device", None, "405"),
        ("MOSIPDISC /info", None, "405"),
        ("SBIDISC /device", {"type": "Finger"}, "405"),
    ],
)
def test_verbs_and_paths(service: MockService, line: str, body: Any, status: str) -> None:
    """Both forms of the address; what it does not know is 405 with code 500."""
    said, content = call(service.port, line, body)
    assert said.split(" ")[1] == status
    assert status == "200" or parsed(content)["error"]["errorCode"] == "500"


@pytest.mark.parametrize(
    ("body", "found"),
    [({"type": "Finger"}, 1), ({"type": "Biometric Device"}, 1), ({"type": "Iris"}, 0)],
)
def test_only_who_is_asked_for_answers(service: MockService, body: Any, found: int) -> None:
    """Discovery by kind of device."""
    assert len(parsed(call(service.port, "MOSIPDISC /device", body)[1])) == found
    assert parsed(call(service.port, "MOSIPDISC /device", {})[1])[0]["error"]["errorCode"] == "501"
    assert parsed(call(service.port, "MOSIPDISC /device", {"type": "Toe"})[1])[0]["error"]["errorCode"] == "502"


def test_one_capture_at_a_time(service: MockService, device: MockDevice) -> None:
    """A second caller is told so; when the first one hangs up, the device is free."""
    device.glass.lift()
    content = json.dumps(asked(timeout="60000")).encode("ascii")
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as first:
        first.sendall(b"RCAPTURE /capture HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        while not device.asked:
            threading.Event().wait(0.01)
        numbers = {answered(service.port)[0]["error"]["errorCode"] for _ in range(3)}
    assert "703" in numbers
    while answered(service.port)[0]["error"]["errorCode"] == "703":
        threading.Event().wait(0.01)
    assert answered(service.port)[0]["error"]["errorCode"] == "701"


def test_slaps_with_missing_fingers(service: MockService, device: MockDevice) -> None:
    """Count and exceptions make four; each item continues the chain of the one before."""
    device.mistake = Mistake.SLAP_DEVICE
    names = [f"Right {finger}" for finger in ("IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")]
    items = answered(service.port, deviceSubId="2", count="3", bioSubType=names, exception=[names[3]])
    assert len(items) == 3
    assert len({item["hash"] for item in items}) == 3
    [item] = answered(service.port, deviceSubId="2", count="3", bioSubType=names, exception=[])
    assert item["error"]["errorCode"] == "116"
    [item] = answered(service.port, deviceSubId="1", count="4", bioSubType=names, exception=[])
    assert item["error"]["errorCode"] == "122"


def test_pictures_of_purpose_auth_are_sealed(service: MockService, device: MockDevice) -> None:
    """With a session key and the thumbprint of the head office's certificate beside them."""
    device.mistake = Mistake.AUTH_DEVICE
    items = answered(service.port, "CAPTURE", purpose="Auth", bioSubType=["UNKNOWN"], count="2")
    assert len(items) == 2
    assert all(item["sessionKey"] and re.fullmatch(r"[0-9A-F]{64}", item["thumbprint"]) for item in items)
    [item] = answered(service.port, "CAPTURE", purpose="Auth", count="11")
    assert item["error"]["errorCode"] == "109"


def test_the_stream_shows_the_glass(service: MockService, device: MockDevice) -> None:
    """JPEG pictures one after another, until its time is over; without a device id there is none."""
    wanted = {"deviceId": device.device_id, "deviceSubId": "0", "timeout": "300"}
    status, body = call(service.port, "STREAM /stream", wanted)
    assert status == "HTTP/1.0 200 OK"
    assert body.count(b"--BoundaryString\r\nContent-Type:image/jpeg\r\nContent-Length:") >= 1
    assert b"\xff\xd8\xff" in body
    assert parsed(call(service.port, "STREAM /stream", {})[1])["error"]["errorCode"] == "604"
    assert parsed(call(service.port, "STREAM /stream", {"deviceId": "x"})[1])["error"]["errorCode"] == "605"


@pytest.mark.parametrize(
    ("call_name", "body", "number"),
    [
        ("status", {"deviceStatus": "Asleep"}, "504"),
        ("score", {"qualityScore": "many"}, "505"),
        ("score", {"qualityScore": "101"}, "505"),
        ("delay", {"delay": "-1", "method": []}, "506"),
        ("delay", {"delay": "1", "method": ["GET"]}, "507"),
        ("profile", {"profileId": "../x"}, "551"),
        ("finger", {}, "551"),
        ("mistake", {"mistake": "none such"}, "551"),
        ("quirks", {"quirks": ["none such"]}, "551"),
        ("nothing", {}, "500"),
        ("lift", {}, "0"),
        ("delay", {"delay": "1", "method": ["RCAPTURE"]}, "0"),
        ("quirks", {"quirks": ["score_with_point"]}, "0"),
        ("error", {"errorCode": "102"}, "0"),
    ],
)
def test_setting_it_up_while_it_runs(service: MockService, call_name: str, body: Any, number: str) -> None:
    """Each call says whether it was understood."""
    _, content = call(service.port, f"POST /admin/{call_name}", body)
    assert parsed(content)["error"]["errorCode"] == number


def test_what_is_set_up_is_what_a_client_sees(service: MockService, scanner: SbiScanner, find_it: Find) -> None:
    """Fingers, score, status and mistakes, from outside."""
    port = service.port
    call(port, "POST /admin/lift", {})
    assert scanner.capture(0.2) is PlaceAgain.NO_FINGER
    call(port, "POST /admin/finger", {"finger": 3, "impression": 1})
    call(port, "POST /admin/score", {"qualityScore": "88.00"})
    assert isinstance(scanner.capture(5), FingerImage)
    assert scanner.notes is not None
    assert scanner.notes.quality == 88
    call(port, "POST /admin/status", {"type": "Biometric Device", "deviceStatus": "Busy"})
    assert find_it().info.state.value == "busy"
    call(port, "POST /admin/mistake", {"mistake": "speaks_0_9_2"})
    assert parsed(call(port, "MOSIPDISC /device", {"type": "Finger"})[1])[0]["specVersion"] == ["0.9.2"]


def test_the_program_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    """Started as partners start it: it says where it listens, writes the certificates, and ends cleanly."""
    command = [
        sys.executable,
        "-m",
        "drivers.scanner.sbi.mock",
        "--roots-to",
        str(tmp_path),
        "--port",
        "0",
        "--finger",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            said = re.match(r"http://127\.0\.0\.1:(\d+)/ ", program.stdout.readline())
            assert said is not None
            port = int(said[1])
            [source] = find((port, port), tmp_path, "Developer")
            with source.open() as scanner:
                assert isinstance(scanner.capture(20), FingerImage)
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(20) == 0
