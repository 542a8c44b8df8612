"""What a device says of itself, signed, before it is used."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from drivers.scanner.sbi.errors import DeviceSaysError, Refusal, WrongAnswerError
from drivers.scanner.sbi.identity import Discovered, Informed, discovered, informed
from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.identity import MockIdentity, base64url, signed
from drivers.scanner.sbi.protocol import Level, Status
from drivers.scanner.sbi.trust import Roots

PORT = 4501
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def other(identity: MockIdentity) -> MockDevice:
    return MockDevice(identity, serial="MOCK00000002")


@pytest.fixture
def ours(device: MockDevice) -> Discovered:
    return discovered(_as_answer(device.discover("Finger", PORT)), range(PORT, PORT + 1))[0]


def _as_answer(items: list[dict[str, Any]]) -> bytearray:
    return bytearray(json.dumps(items).encode("utf-8"))


def told(items: list[dict[str, Any]], ours: Discovered, roots: Path) -> Informed:
    return informed(_as_answer(items), ours, Roots.load(roots), NOW, "inform")


def changed(device: MockDevice, **fields: Any) -> list[dict[str, Any]]:
    """The information with fields changed, signed as ever."""
    said = device._described(PORT) | {"env": device.environment, "digitalId": device._signed_id()} | fields
    return [{"deviceInfo": signed(said, device.identity.device), "error": {"errorCode": "0", "errorInfo": ""}}]


def test_the_information_about_one_of_several(
    device: MockDevice, other: MockDevice, ours: Discovered, roots: Path, keys: MockIdentity
) -> None:
    """Another device of the service, unregistered or of a stranger's, does not stand in the way."""
    strange = MockDevice(keys, serial="MOCK00000003")
    unsigned = [{"deviceInfo": base64url(b"{}"), "error": {"errorCode": "100", "errorInfo": "not registered"}}]
    foreign = [{"deviceInfo": signed({"deviceId": "x"}, strange.identity.stranger), "error": None}]
    found = told(unsigned + foreign + other.inform(PORT) + device.inform(PORT), ours, roots)
    assert (found.identity.serial, found.environment, found.level) == ("MOCK00000001", "Developer", Level.L0)
    assert not found.organisation_differs


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"specVersion": ["0.9.2"]}, Refusal.VERSION),
        ({"purpose": "Auth"}, Refusal.PURPOSE),
        ({"certification": "L1"}, Refusal.DIGITAL_ID),
        ({"certification": "L7"}, Refusal.DIGITAL_ID),
        ({"deviceCode": "MOCK00000002"}, Refusal.DEVICE_CODE),
        ({"deviceId": "another"}, Refusal.DIGITAL_ID),
        ({"env": None}, Refusal.SHAPE),
    ],
)
def test_signed_information_that_does_not_fit(
    device: MockDevice, ours: Discovered, roots: Path, fields: dict[str, Any], refusal: Refusal
) -> None:
    """Signed is not yet right: it is compared with what was discovered without a signature."""
    assert told(changed(device), ours, roots)
    with pytest.raises(WrongAnswerError) as refused:
        told(changed(device, **fields), ours, roots)
    assert refused.value.refusal is refusal


def test_the_signed_identity_is_the_one_that_was_discovered(
    device: MockDevice, other: MockDevice, ours: Discovered, roots: Path
) -> None:
    """The same device id with the digital id of another unit is another unit."""
    with pytest.raises(WrongAnswerError) as refused:
        told(changed(device, digitalId=other._signed_id()), ours, roots)
    assert refused.value.refusal is Refusal.DIGITAL_ID


def test_information_with_an_error(device: MockDevice, ours: Discovered, roots: Path) -> None:
    """An error beside signed information is refused; alone it is what the device says; none at all is no device."""
    failed = {"errorCode": "999", "errorInfo": "unknown"}
    with pytest.raises(WrongAnswerError) as refused:
        told([changed(device)[0] | {"error": failed}], ours, roots)
    assert refused.value.refusal is Refusal.DATA_AND_ERROR
    with pytest.raises(DeviceSaysError) as said:
        told([{"deviceInfo": "", "error": failed}], ours, roots)
    assert said.value.number == "999"
    with pytest.raises(WrongAnswerError) as refused:
        told([], ours, roots)
    assert refused.value.refusal is Refusal.DIGITAL_ID


def test_an_unregistered_device_says_so(device: MockDevice, ours: Discovered, roots: Path) -> None:
    """Its information is not signed, and is not read."""
    device.status = Status.NOT_REGISTERED
    with pytest.raises(DeviceSaysError) as said:
        told(device.inform(PORT), ours, roots)
    assert said.value.number == "100"


def test_another_organisation_is_noted(device: MockDevice, ours: Discovered, roots: Path) -> None:
    """The certificate's organisation and the provider of the digital id are compared, as compliance tests do."""
    renamed = device._digital_id() | {"deviceProvider": "PT LAIN"}
    given = discovered(
        _as_answer(
            [device.discover("Finger", PORT)[0] | {"digitalId": base64url(json.dumps(renamed).encode("ascii"))}]
        ),
        range(PORT, PORT + 1),
    )[0]
    del ours
    found = told(changed(device, digitalId=signed(renamed, device.identity.device)), given, roots)
    assert found.organisation_differs
