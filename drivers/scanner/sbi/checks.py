"""Everything that is checked of a capture answer, in one place and in one order. Pure.

Nothing here can be switched off. What is wrong is refused by its name; what is merely doubtful is noted.
"""

import datetime
import enum
import re
from dataclasses import dataclass

from drivers.scanner.sbi import answers, hash_chain, moments, record
from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.identity import DigitalId, signed_identity
from drivers.scanner.sbi.protocol import FINGER, FINGERS, REGISTRATION, SUPPORTED_VERSIONS, Level
from drivers.scanner.sbi.signed import Signed, open_signed
from drivers.scanner.sbi.transport import LARGEST_BODY_BYTES
from drivers.scanner.sbi.trust import SKEW_BAND, Roots

PRODUCTION = "Production"
DOUBTFUL_SKEW = datetime.timedelta(seconds=30)
"""Both ends share one machine: a clock that is off by more than this is not set by anybody."""
LIVENESS = "vendorLiveness"
"""Our name for the extension: the interface itself has no word for liveness."""
_SCORE = re.compile(r"\d{1,3}(\.\d{1,6})?", re.ASCII)


class Doubt(enum.Enum):
    """What is noted beside a picture that was taken all the same."""

    CLOCK = "clock"
    """The service's clock is off, though within the band."""
    POSITION_UNKNOWN = "position_unknown"
    """The record does not say which finger it shows."""
    ORGANISATION = "organisation"
    """The signer's certificate names another organisation than the provider of the digital id."""
    NOT_PRODUCTION = "not_production"
    """The device is one for development or staging."""
    BELOW_REQUESTED = "below_requested_score"
    """The best the service had is worse than what was asked for. Worn fingers give nothing better."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, to be compared with what is answered."""

    transaction: str
    at: datetime.datetime
    environment: str
    position: int
    score: float
    previous_hash: str
    identity: DigitalId
    level: Level


@dataclass(frozen=True, slots=True)
class Failure:
    """The service reports that it has no picture."""

    number: str
    words: str


@dataclass(frozen=True, slots=True)
class CaptureNotes:
    """What is kept of a capture besides the picture; nothing biometric."""

    transaction: str
    hash: str
    captured_at: datetime.datetime
    quality: float
    """0-100, as the service says (NFIQ 2)."""
    doubts: tuple[Doubt, ...]
    liveness: str | None
    """What the device says of liveness, in its own words. Recorded, never a decision."""


@dataclass(slots=True, eq=False, repr=False)
class Captured:
    """A picture, still packed, and what goes with it. ``content`` is the caller's to overwrite."""

    content: bytearray
    finger: record.FingerRecord
    notes: CaptureNotes


def check_capture(content: bytearray, asked: Asked, roots: Roots, now: datetime.datetime) -> Captured | Failure:
    """Read the answer to a capture of one finger, or refuse it."""
    items = answers.nodes(answers.parse(content), "biometrics", most=10)
    signed = []
    for item in items:
        failure = _failure(item)
        if failure is not None:
            return failure
        payload = open_signed(answers.text(item, "data", LARGEST_BODY_BYTES), roots.device, now, "data")
        _check_asked(item, payload.payload, asked)
        signed.append(payload)
    _check_fingers(signed, asked)
    said = signed[0].payload
    differs = _check_identity(said, asked, roots, now)
    picture = bytearray(
        answers.base64url(answers.text(said, "bioValue", LARGEST_BODY_BYTES), Refusal.RECORD, "bioValue")
    )
    try:
        own_hash = hash_chain.check(answers.text(items[0], "hash"), asked.previous_hash, picture)
        moment = moments.read(answers.text(said, "timestamp"))
        moments.check(moment, asked.at, now, SKEW_BAND)
        finger = _decoded(picture, asked)
        quality = _quality(said.get("qualityScore"))
    except WrongAnswerError:
        picture[:] = bytes(len(picture))
        raise
    found = {
        Doubt.CLOCK: moment < asked.at - DOUBTFUL_SKEW or moment > now + DOUBTFUL_SKEW,
        Doubt.POSITION_UNKNOWN: finger.position == 0,
        Doubt.ORGANISATION: differs,
        Doubt.NOT_PRODUCTION: asked.environment != PRODUCTION,
        Doubt.BELOW_REQUESTED: quality < asked.score,
    }
    doubts = tuple(doubt for doubt, there in found.items() if there)
    notes = CaptureNotes(asked.transaction, own_hash, moment, quality, doubts, _liveness(said))
    return Captured(picture, finger, notes)


def _failure(item: answers.Node) -> Failure | None:
    said = answers.error_of(item)
    if said is None:
        return None
    if item.get("data"):
        raise WrongAnswerError(Refusal.DATA_AND_ERROR, f"code {said[0]}")
    return Failure(*said)


def _check_asked(item: answers.Node, said: answers.Node, asked: Asked) -> None:
    if item.get("sessionKey") or item.get("thumbprint"):
        raise WrongAnswerError(Refusal.ENCRYPTED)
    if answers.text(said, "transactionId") != asked.transaction:
        raise WrongAnswerError(Refusal.TRANSACTION)
    if answers.first_text(item, "specVersion") not in SUPPORTED_VERSIONS:
        raise WrongAnswerError(Refusal.VERSION, "of the picture")
    if answers.text(said, "purpose") != REGISTRATION:
        raise WrongAnswerError(Refusal.PURPOSE)
    if answers.text(said, "env") != asked.environment:
        raise WrongAnswerError(Refusal.ENVIRONMENT)


def _check_fingers(signed: list[Signed], asked: Asked) -> None:
    fingers = [answers.text(one.payload, "bioSubType") for one in signed]
    if len(set(fingers)) != len(fingers):
        raise WrongAnswerError(Refusal.FINGER_TWICE)
    if len(fingers) != 1:
        raise WrongAnswerError(Refusal.COUNT, f"{len(fingers)} instead of 1")
    if fingers[0] != FINGERS[asked.position]:
        raise WrongAnswerError(Refusal.FINGER)
    if answers.text(signed[0].payload, "bioType") != FINGER:
        raise WrongAnswerError(Refusal.TYPE)


def _check_identity(said: answers.Node, asked: Asked, roots: Roots, now: datetime.datetime) -> bool:
    identity, _dated, differs = signed_identity(said, asked.level, roots, now)
    if identity != asked.identity:
        raise WrongAnswerError(Refusal.DIGITAL_ID, "another device than the one discovered")
    if answers.text(said, "deviceCode") != identity.serial:
        raise WrongAnswerError(Refusal.DEVICE_CODE)
    return differs


def _decoded(picture: bytearray, asked: Asked) -> record.FingerRecord:
    finger = record.decode(picture)
    if finger.position not in (0, asked.position):
        raise WrongAnswerError(Refusal.POSITION, f"{finger.position} instead of {asked.position}")
    return finger


def _quality(said: object) -> float:
    """Services write 44, "44" or "44.0"."""
    written = str(said) if isinstance(said, str | int | float) and not isinstance(said, bool) else ""
    if not _SCORE.fullmatch(written) or float(written) > 100:
        raise WrongAnswerError(Refusal.QUALITY)
    return float(written)


def _liveness(said: answers.Node) -> str | None:
    words = said.get(LIVENESS)
    if not isinstance(words, str):
        return None
    return "".join(one for one in words[:100] if one.isprintable())
