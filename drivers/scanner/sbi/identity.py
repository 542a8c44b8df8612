"""Which device answers: what discovery says unsigned, what the device information signs, and that both are one."""

import datetime
from dataclasses import dataclass

from drivers.scanner.sbi import answers, moments
from drivers.scanner.sbi.errors import DeviceSaysError, Refusal, WrongAnswerError
from drivers.scanner.sbi.protocol import (
    FINGER,
    HOST,
    NOT_REGISTERED,
    REGISTRATION,
    SINGLE_FINGER,
    SUPPORTED_VERSIONS,
    Level,
    Status,
)
from drivers.scanner.sbi.signed import open_signed
from drivers.scanner.sbi.trust import Roots

_STATUSES = frozenset(one.value for one in Status)
_LEVELS = frozenset(one.value for one in Level)


@dataclass(frozen=True, slots=True)
class DigitalId:
    """Who a device is. Two are the same device only when *every* field is equal."""

    make: str
    model: str
    serial: str
    kind: str
    sub_type: str
    provider: str
    provider_id: str


@dataclass(frozen=True, slots=True)
class Discovered:
    """One device of a discovery answer. Nothing of it is signed."""

    device_id: str
    status: Status
    version: str
    level: str
    purpose: str
    port: int
    """Of the address the service wants to be called at from now on."""
    identity: DigitalId


@dataclass(frozen=True, slots=True)
class Informed:
    """What the device information signs."""

    identity: DigitalId
    level: Level
    environment: str
    dated: datetime.datetime
    """``dateTime`` of the digital id."""
    organisation_differs: bool
    """The signer's certificate names another organisation than the provider: worth a note, not a refusal."""


def discovered(content: bytearray, ports: range) -> list[Discovered]:
    """The finger scanners of a discovery answer."""
    return [_discovered(one, ports) for one in answers.nodes(answers.parse(content))]


def _discovered(item: answers.Node, ports: range) -> Discovered:
    status = answers.text(item, "deviceStatus")
    if status not in _STATUSES:
        raise WrongAnswerError(Refusal.SHAPE, "an unknown deviceStatus")
    identity = answers.base64url(answers.text(item, "digitalId", 10_000), Refusal.DIGITAL_ID, "digitalId")
    found = Discovered(
        device_id=answers.text(item, "deviceId"),
        status=Status(status),
        version=answers.first_text(item, "specVersion"),
        level=answers.text(item, "certification"),
        purpose=answers.text(item, "purpose"),
        port=_called_at(answers.text(item, "callbackId"), ports),
        identity=_digital_id(answers.node(answers.parse(identity), "digitalId")),
    )
    if answers.text(item, "deviceCode") != found.identity.serial:
        raise WrongAnswerError(Refusal.DEVICE_CODE, "in the discovery answer")
    return found


def _called_at(address: str, ports: range) -> int:
    """The port of a loopback address in the range; any other address could be anywhere."""
    scheme = f"http://{HOST}:"
    digits = address.removeprefix(scheme).rstrip("/")
    if not (address.startswith(scheme) and digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise WrongAnswerError(Refusal.CALLBACK, "not on the loopback address")
    if int(digits) not in ports:
        raise WrongAnswerError(Refusal.CALLBACK, "not in the range of ports")
    return int(digits)


def _digital_id(said: answers.Node) -> DigitalId:
    return DigitalId(
        make=answers.text(said, "make"),
        model=answers.text(said, "model"),
        serial=answers.text(said, "serialNo"),
        kind=answers.text(said, "type"),
        sub_type=answers.text(said, "deviceSubType"),
        provider=answers.text(said, "deviceProvider"),
        provider_id=answers.text(said, "deviceProviderId"),
    )


def check_fit(device: Discovered) -> None:
    """Whether this client can use such a device at all: version, purpose and kind must *each* be right."""
    if device.version not in SUPPORTED_VERSIONS:
        raise WrongAnswerError(Refusal.VERSION, f"it speaks {device.version[:20]}")
    if device.identity.kind != FINGER:
        raise WrongAnswerError(Refusal.TYPE, "not a finger scanner")
    if device.identity.sub_type not in SINGLE_FINGER:
        raise WrongAnswerError(Refusal.DEVICE_KIND, "it does not picture one finger at a time")
    if device.purpose != REGISTRATION:
        raise WrongAnswerError(Refusal.PURPOSE, "its pictures are encrypted to a head office")


def informed(content: bytearray, device: Discovered, roots: Roots, now: datetime.datetime, doing: str) -> Informed:
    """The signed information about the discovered device.

    Raises
    ------
    WrongAnswerError
    DeviceSaysError
        The device is not registered, or the service reports something else.
    """
    problem: WrongAnswerError | DeviceSaysError | None = None
    for item in answers.nodes(answers.parse(content)):
        try:
            said = _signed_information(item, device, roots, now, doing)
        except (WrongAnswerError, DeviceSaysError) as error:
            # It may be about another device of the same service, which is none of ours.
            problem = problem or error
            continue
        if said.get("deviceId") == device.device_id:
            return _informed(said, device, roots, now)
    raise problem or WrongAnswerError(Refusal.DIGITAL_ID, "no information about this device")


def _signed_information(
    item: answers.Node, device: Discovered, roots: Roots, now: datetime.datetime, doing: str
) -> answers.Node:
    failure = answers.error_of(item)
    token = answers.text(item, "deviceInfo", 200_000)
    if failure is not None and token and failure[0] != NOT_REGISTERED:
        raise WrongAnswerError(Refusal.DATA_AND_ERROR, f"code {failure[0]}")
    if failure is not None:
        raise DeviceSaysError(f"device service {HOST}:{device.port}", doing, *failure)
    return open_signed(token, roots.device, now, "device information").payload


def _informed(said: answers.Node, device: Discovered, roots: Roots, now: datetime.datetime) -> Informed:
    if answers.first_text(said, "specVersion") not in SUPPORTED_VERSIONS:
        raise WrongAnswerError(Refusal.VERSION, "in the device information")
    if answers.text(said, "purpose") != REGISTRATION:
        raise WrongAnswerError(Refusal.PURPOSE, "in the device information")
    level = answers.text(said, "certification")
    if level not in _LEVELS or level != device.level:
        raise WrongAnswerError(Refusal.DIGITAL_ID, "another certification level than discovered")
    identity, dated, differs = signed_identity(said, Level(level), roots, now)
    if identity != device.identity:
        raise WrongAnswerError(Refusal.DIGITAL_ID, "the signed one is not the discovered one")
    if answers.text(said, "deviceCode") != identity.serial:
        raise WrongAnswerError(Refusal.DEVICE_CODE, "in the device information")
    return Informed(identity, Level(level), answers.text(said, "env"), dated, differs)


def signed_identity(
    inside: answers.Node, level: Level, roots: Roots, now: datetime.datetime
) -> tuple[DigitalId, datetime.datetime, bool]:
    """The digital id of a signed payload: signed by the device key (L0), or by the scanner's own chip (L1)."""
    trusted = roots.device if level is Level.L0 else roots.ftm
    signed = open_signed(answers.text(inside, "digitalId", 100_000), trusted, now, "digital id")
    identity = _digital_id(signed.payload)
    organisations = {str(one.value) for one in signed.certificate.subject if one.rfc4514_attribute_name == "O"}
    return identity, moments.read(answers.text(signed.payload, "dateTime")), identity.provider not in organisations
