"""The pretended scanner: what it answers to each verb, rightly or with one mistake."""

import datetime
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from drivers.scanner.sbi import hash_chain, moments
from drivers.scanner.sbi.checks import LIVENESS
from drivers.scanner.sbi.mock.encryption import seal
from drivers.scanner.sbi.mock.glass import Glass, Picture
from drivers.scanner.sbi.mock.identity import PROVIDER, Keyed, MockIdentity, as_json, base64url, signed
from drivers.scanner.sbi.mock.mistakes import Mistake, Quirk
from drivers.scanner.sbi.mock.questions import FaultError, Question, read_question
from drivers.scanner.sbi.mock.records import Layout, encode
from drivers.scanner.sbi.protocol import (
    FINGER,
    FINGERS,
    NOT_REGISTERED,
    REGISTRATION,
    SPEC_VERSION,
    Level,
    Status,
    Verb,
)
from drivers.scanner.sbi.record import EDITION_2005, Compression

ANY_TYPE = "Biometric Device"
GOOD_SCORE = 75.0
_POSITIONS = {name: position for position, name in FINGERS.items()}
_LAYOUTS = {
    Mistake.RECORD_CUT: Layout(said_surplus=100),
    Mistake.RECORD_2005: Layout(edition=EDITION_2005, compression=Compression.NONE),
    Mistake.DEPTH_16: Layout(said_depth=16),
    Mistake.COARSE: Layout(said_dpi=250),
    Mistake.WSQ: Layout(compression=Compression.WSQ),
    Mistake.PACKED: Layout(compression=Compression.PACKED),
    Mistake.JPEG: Layout(compression=Compression.JPEG),
    Mistake.ANOTHER_SIZE: Layout(said_size=(300, 300)),
}
_STATUS_CODES = {
    Status.BUSY: ("111", "device busy"),
    Status.NOT_READY: ("110", "device not ready"),
    Status.NOT_REGISTERED: (NOT_REGISTERED, "device not registered"),
}


class MockDevice:
    """Set its attributes from any thread; each answer looks at them anew."""

    def __init__(
        self,
        identity: MockIdentity,
        *,
        environment: str = "Developer",
        level: Level = Level.L0,
        serial: str = "MOCK00000001",
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self.identity, self.environment, self.level, self.serial, self._now = identity, environment, level, serial, now
        self.device_id = f"DEV-{serial}"
        self.glass = Glass()
        self.status = Status.READY
        self.score = GOOD_SCORE
        self.strict = True
        self.error: tuple[str, str] | None = None
        """Code and words every capture fails with."""
        self.mistake: Mistake | None = None
        self.quirks: frozenset[Quirk] = frozenset()
        self.layout = Layout()
        self.delays: dict[str, float] = {}
        """Seconds by verb."""
        self.asked: list[dict[str, Any]] = []
        """Every capture request, for whoever wants to see what a client sends."""
        self._one_at_a_time = threading.Lock()
        self._last: bytes | None = None

    @property
    def purpose(self) -> str:
        if self.status is Status.NOT_REGISTERED:
            return ""
        return "Auth" if self.mistake is Mistake.AUTH_DEVICE else REGISTRATION

    @property
    def single(self) -> bool:
        return self.mistake is not Mistake.SLAP_DEVICE

    def discover(self, wanted: str, port: int) -> list[dict[str, Any]]:
        """The answer to MOSIPDISC."""
        if wanted not in (FINGER, ANY_TYPE):
            return []
        return [self._described(port) | {"digitalId": base64url(as_json(self._digital_id())), "error": self._error()}]

    def inform(self, port: int) -> list[dict[str, Any]]:
        """The answer to MOSIPDINFO."""
        registered = self.status is not Status.NOT_REGISTERED
        said = self._described(port) | {"firmware": "1.0.0", "env": self.environment if registered else "None"}
        another = {"serialNo": "MOCK99999999"} if self.mistake is Mistake.ANOTHER_DEVICE else {}
        said["digitalId"] = self._signed_id(**another)
        if not registered:
            return [{"deviceInfo": base64url(as_json(said)), "error": self._error()}]
        return [{"deviceInfo": self._sign(said), "error": {"errorCode": "0", "errorInfo": "success"}}]

    def capture(self, verb: Verb, body: Any, given_up: Callable[[], bool]) -> bytes:
        """The answer to RCAPTURE or CAPTURE, as the bytes of its body."""
        if isinstance(body, dict):
            self.asked.append(body)
        try:
            question = self._question(verb, body)
        except FaultError as fault:
            return as_json({"biometrics": [self._failed(fault)]})
        if not self._one_at_a_time.acquire(blocking=False):
            return as_json({"biometrics": [self._failed(FaultError("703", "capture in progress"))]})
        try:
            return self._captured(question, given_up)
        except FaultError as fault:
            return as_json({"biometrics": [self._failed(fault)]})
        finally:
            self._one_at_a_time.release()

    def _question(self, verb: Verb, body: Any) -> Question:
        if verb is Verb.CAPTURE and self.purpose != "Auth":
            raise FaultError("806", "wrong purpose")
        question = read_question(
            body,
            verb=verb,
            environment=self.environment,
            device_id=self.device_id,
            single=self.single,
            strict=self.strict,
        )
        if self.status is not Status.READY:
            raise FaultError(*_STATUS_CODES[self.status])
        if self.error is not None:
            raise FaultError(*self.error)
        return question

    def _captured(self, question: Question, given_up: Callable[[], bool]) -> bytes:
        # The service answers before the time-out it was given.
        pictures = self.glass.wait(
            list(question.fingers), question.timeout_s * 0.95, lambda: self.score >= question.score, given_up
        )
        if pictures is None:
            raise FaultError("701", "capture time-out")
        if self.mistake is Mistake.PLAYED_AGAIN and self._last is not None:
            return self._last
        items: list[dict[str, Any]] = []
        previous = "" if self.mistake is Mistake.FORGOTTEN_HASH else question.previous_hash
        for name in self._answered(question.fingers):
            item = self._item(question, name, pictures[question.fingers[0]] if name not in pictures else pictures[name])
            record = item.pop("record")
            previous = hash_chain.following(previous, record)
            items.append(item | {"hash": previous if self.mistake is not Mistake.BROKEN_HASH_CHAIN else previous[::-1]})
        for pixels, _dpi in pictures.values():
            pixels[...] = 0
        # Kept only to be played again on request; a moment later the next capture replaces it.
        self._last = as_json({"biometrics": items})
        return self._last

    def _answered(self, fingers: tuple[str, ...]) -> list[str]:
        match self.mistake:
            case Mistake.NO_FINGERS:
                return []
            case Mistake.EXTRA_FINGER:
                return [*fingers, next(name for name in FINGERS.values() if name not in fingers)]
            case Mistake.FINGER_TWICE:
                return [*fingers, fingers[0]]
            case Mistake.WRONG_FINGER:
                return [next(name for name in FINGERS.values() if name not in fingers)]
            case _:
                return list(fingers)

    def _item(self, question: Question, name: str, picture: Picture) -> dict[str, Any]:
        moment = self._moment()
        record = self._record(picture, name, moment, question)
        written = moments.written(moment)
        encrypted = question.purpose == "Auth" or self.mistake is Mistake.ENCRYPTED
        sealed = (
            seal(record, written, question.transaction, self.identity.head_office.certificate) if encrypted else None
        )
        said = {
            "digitalId": self._signed_id(**self._wrong_identity()),
            "deviceCode": "MOCK99999999" if self.mistake is Mistake.WRONG_DEVICE_CODE else self.serial,
            "deviceServiceVersion": SPEC_VERSION,
            "bioType": "Iris" if self.mistake is Mistake.WRONG_TYPE else FINGER,
            "bioSubType": name,
            "purpose": "Auth" if self.mistake is Mistake.WRONG_PURPOSE else question.purpose,
            "env": "Staging" if self.mistake is Mistake.WRONG_ENVIRONMENT else question.environment,
            "bioValue": base64url(record if sealed is None else sealed.content),
            "transactionId": "0" * 8 if self.mistake is Mistake.WRONG_TRANSACTION else question.transaction,
            "timestamp": written[:-1] if self.mistake is Mistake.TIME_WITHOUT_ZONE else written,
            "requestedScore": str(round(question.score)),
            "qualityScore": self._written_score(),
        }
        if Quirk.LIVENESS in self.quirks:
            said[LIVENESS] = "live 0.97"
        failed = {"errorCode": "102", "errorInfo": "technical error"}
        item = {
            "specVersion": "0.9.2" if self.mistake is Mistake.WRONG_VERSION else SPEC_VERSION,
            "data": self._sign(said),
            "error": failed if self.mistake is Mistake.DATA_AND_ERROR else {"errorCode": "0", "errorInfo": ""},
            "record": record,
        }
        return (
            item
            if sealed is None
            else item | {"sessionKey": base64url(sealed.session_key), "thumbprint": sealed.thumbprint}
        )

    def _record(self, picture: Picture, name: str, moment: datetime.datetime, question: Question) -> bytes:
        pixels, dpi = picture
        position = _POSITIONS.get(name, 0)
        if self.mistake is Mistake.WRONG_POSITION:
            position = position % 10 + 1
        if Quirk.POSITION_UNKNOWN in self.quirks:
            position = 0
        layout = _LAYOUTS.get(self.mistake, self.layout) if self.mistake is not None else self.layout
        return encode(pixels, dpi, position=position, quality=round(self.score), moment=moment, layout=layout)

    def _written_score(self) -> str:
        if self.mistake is Mistake.QUALITY_IN_WORDS:
            return "good"
        if self.mistake is Mistake.QUALITY_BEYOND:
            return "180"
        return f"{self.score:.1f}" if Quirk.SCORE_WITH_POINT in self.quirks else str(round(self.score))

    def _wrong_identity(self) -> dict[str, str]:
        match self.mistake:
            case Mistake.WRONG_MAKE:
                return {"make": "Another"}
            case Mistake.WRONG_MODEL:
                return {"model": "Another"}
            case Mistake.WRONG_SERIAL:
                return {"serialNo": "MOCK99999999"}
            case Mistake.WRONG_PROVIDER:
                return {"deviceProvider": "Another"}
            case _:
                return {}

    def _moment(self) -> datetime.datetime:
        off = {Mistake.TIME_OLD: -240, Mistake.TIME_AHEAD: 240}.get(self.mistake, 0) if self.mistake else 0
        if Quirk.OLD_CLOCK in self.quirks:
            off = -60
        return self._now() + datetime.timedelta(seconds=off)

    def _described(self, port: int) -> dict[str, Any]:
        elsewhere = self.mistake is Mistake.CALLBACK_ELSEWHERE
        return {
            "deviceId": self.device_id,
            "deviceStatus": self.status,
            "certification": self.level,
            "serviceVersion": "1.0.0",
            "deviceSubId": ["0"] if self.single else ["1", "2", "3"],
            "callbackId": "http://192.0.2.1:4501/" if elsewhere else f"http://127.0.0.1:{port}/",
            "deviceCode": self.serial,
            "specVersion": ["0.9.2" if self.mistake is Mistake.SPEAKS_0_9_2 else SPEC_VERSION],
            "purpose": self.purpose,
        }

    def _digital_id(self) -> dict[str, str]:
        return {
            "serialNo": self.serial,
            "make": "CONTOH",
            "model": "MOCK-1",
            "type": FINGER,
            "deviceSubType": "Single" if self.single else "Slap",
            "deviceProvider": PROVIDER,
            "deviceProviderId": "CONTOH.UJI.01",
            "dateTime": moments.written(self._moment()),
        }

    def _signed_id(self, **changed: str) -> str:
        said = self._digital_id() | changed
        if self.mistake is Mistake.UNSIGNED_DIGITAL_ID:
            return base64url(as_json(said))
        if self.mistake is Mistake.STRANGE_DIGITAL_ID:
            return signed(said, self.identity.stranger)
        return signed(said, self.identity.device if self.level is Level.L0 else self.identity.ftm)

    def _sign(self, said: dict[str, Any]) -> str:
        by: Keyed = self.identity.device
        match self.mistake:
            case Mistake.UNSIGNED:
                return base64url(as_json(said))
            case Mistake.ALGORITHM_NONE:
                return signed(said, by, alg="none")
            case Mistake.ALGORITHM_HS256:
                return signed(said, by, alg="HS256")
            case Mistake.NO_CERTIFICATE:
                return signed(said, by, x5c=None)
            case Mistake.BROKEN_SIGNATURE:
                head, payload, _signature = signed(said, by).split(".")
                other = signed(said | {"env": "x"}, by).split(".")[2]
                return f"{head}.{payload}.{other}"
            case Mistake.WRONG_CHAIN:
                return signed(said, self.identity.stranger)
            case Mistake.EXPIRED_LEAF:
                return signed(said, self.identity.dated(-60))
            case Mistake.FUTURE_LEAF:
                return signed(said, self.identity.dated(60))
            case _:
                return signed(said, by)

    def _error(self) -> dict[str, str]:
        number, words = _STATUS_CODES.get(self.status, ("0", "success"))
        return {"errorCode": number, "errorInfo": words}

    def _failed(self, fault: FaultError) -> dict[str, Any]:
        error = {"errorCode": fault.number, "errorInfo": fault.words}
        return {"specVersion": SPEC_VERSION, "data": "", "hash": "", "error": error}

    def wait_as_told(self, verb: str) -> None:
        """The delay set for a verb."""
        time.sleep(self.delays.get(verb, 0))


def parsed(body: bytes) -> Any:
    """A request's JSON; None where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None
