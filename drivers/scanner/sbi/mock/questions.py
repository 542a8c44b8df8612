"""Whether a capture request is as the interface wants it, and the error code it earns when it is not."""

import re
from dataclasses import dataclass
from typing import Any

from drivers.scanner.sbi.protocol import FINGER, FINGERS, REGISTRATION, Verb

_TRANSACTION = re.compile(r"[A-Za-z0-9-]{4,50}", re.ASCII)
_SCALARS = ("env", "purpose", "specVersion", "timeout", "captureTime", "transactionId")
_BIO_SCALARS = ("type", "count", "requestedScore", "deviceId", "deviceSubId")
LEFT_SLAP, RIGHT_SLAP, THUMBS = "1", "2", "3"
SLAPS = {
    LEFT_SLAP: tuple(FINGERS[position] for position in (7, 8, 9, 10)),
    RIGHT_SLAP: tuple(FINGERS[position] for position in (2, 3, 4, 5)),
    THUMBS: (FINGERS[1], FINGERS[6]),
}


class FaultError(Exception):
    """The request earns an error code."""

    def __init__(self, number: str, words: str) -> None:
        super().__init__(f"{number} {words}")
        self.number, self.words = number, words


@dataclass(frozen=True, slots=True)
class Question:
    """A capture that was asked for."""

    transaction: str
    environment: str
    purpose: str
    timeout_s: float
    fingers: tuple[str, ...]
    score: float
    previous_hash: str


def read_question(body: Any, *, verb: Verb, environment: str, device_id: str, single: bool, strict: bool) -> Question:
    """Check a request in the order of the error codes; raises FaultError."""
    if not isinstance(body, dict) or not isinstance(bio := body.get("bio"), list) or len(bio) != 1:
        raise FaultError("123", "malformed request")
    one = bio[0]
    if not isinstance(one, dict):
        raise FaultError("123", "malformed request")
    said = {key: _scalar(body, key, strict) for key in _SCALARS} | {
        key: _scalar(one, key, strict) for key in _BIO_SCALARS
    }
    if strict and (one.get("previousHash") is None or not isinstance(one.get("bioSubType"), list)):
        raise FaultError("123", "malformed request")
    if strict and verb is Verb.REGISTER and not isinstance(one.get("exception"), list):
        raise FaultError("123", "malformed request")
    if not _TRANSACTION.fullmatch(said["transactionId"]):
        raise FaultError("112", "invalid transaction id")
    if said["env"] != environment:
        raise FaultError("115", "env mismatch")
    wanted = REGISTRATION if verb is Verb.REGISTER else "Auth"
    if said["purpose"] != wanted:
        raise FaultError("121", "purpose value mismatch")
    if said["type"] != FINGER:
        raise FaultError("114", "type mismatch")
    if said["deviceId"] != device_id:
        raise FaultError("705", "device not connected")
    numbers = [said["timeout"], said["count"], said["requestedScore"]]
    if not all(number.isascii() and number.isdigit() and len(number) < 8 for number in numbers):
        raise FaultError("123", "malformed request")
    return Question(
        transaction=said["transactionId"],
        environment=said["env"],
        purpose=wanted,
        timeout_s=int(said["timeout"]) / 1000,
        fingers=_fingers(one, int(said["count"]), said["deviceSubId"], single=single, verb=verb),
        score=float(said["requestedScore"]),
        previous_hash=str(one.get("previousHash") or ""),
    )


def _scalar(inside: dict[str, Any], key: str, strict: bool) -> str:
    value = inside.get(key)
    if not strict and isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise FaultError("123", "malformed request")
    return value


def _fingers(one: dict[str, Any], count: int, part: str, *, single: bool, verb: Verb) -> tuple[str, ...]:
    names = [str(name) for name in one.get("bioSubType") or []]
    exceptions = [str(name) for name in one.get("exception") or []]
    known = {*FINGERS.values(), "UNKNOWN"} if verb is Verb.CAPTURE else set(FINGERS.values())
    if not set(names) <= known:
        raise FaultError("119", "no such finger")
    if not set(exceptions) <= set(FINGERS.values()):
        raise FaultError("117", "exception value")
    if verb is Verb.CAPTURE:
        if not 0 < count <= 10:
            raise FaultError("109", "number of fingers")
        return tuple((names + ["UNKNOWN"] * count)[:count])
    if single:
        if exceptions:
            raise FaultError("118", "exception does not fit")
        if count != 1 or len(names) > 1:
            raise FaultError("113", "count mismatch")
        return tuple(names or [FINGERS[2]])
    whole = SLAPS.get(part)
    if whole is None or not set(exceptions) <= set(whole):
        raise FaultError("118", "exception does not fit")
    if count + len(exceptions) != len(whole):
        raise FaultError("116", "count does not fit")
    asked = [name for name in (names or whole) if name not in exceptions]
    if len(asked) != count or not set(asked) <= set(whole):
        raise FaultError("122", "finger does not fit")
    return tuple(asked)
