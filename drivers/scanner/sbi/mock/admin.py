"""Calls that set the mock up while it runs (POST /admin/…); no real service has them."""

from typing import TYPE_CHECKING, Any

from drivers.scanner.sbi.mock.mistakes import Mistake, Quirk
from drivers.scanner.sbi.protocol import Status, Verb

if TYPE_CHECKING:
    from drivers.scanner.sbi.mock.service import MockService


def carry_out(service: "MockService", path: str, body: Any) -> dict[str, Any]:
    """Do what the call asks; the answer says ``0`` or the error code of the wrong call."""
    said = body if isinstance(body, dict) else {}
    device = service.device
    match path.removeprefix("/admin/"):
        case "status":
            if said.get("deviceStatus") not in {one.value for one in Status}:
                return _answer("504", "status wrong")
            device.status = Status(said["deviceStatus"])
        case "score":
            score = _number(said.get("qualityScore"))
            if score is None or score > 100:
                return _answer("505", "score wrong")
            device.score = score
        case "delay":
            milliseconds = _number(said.get("delay"))
            if milliseconds is None:
                return _answer("506", "delay wrong")
            methods = said.get("method")
            if not isinstance(methods, list) or not {str(one) for one in methods} <= {one.value for one in Verb}:
                return _answer("507", "method list wrong")
            device.delays.update({str(one): milliseconds / 1000 for one in methods})
        case "profile":
            digits = str(said.get("profileId", "")).removeprefix("Profile")
            if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
                return _answer("551", "profile wrong")
            device.glass.place_hand(int(digits))
        case "finger":
            finger, impression = _number(said.get("finger")), _number(said.get("impression", 1))
            if finger is None or impression is None:
                return _answer("551", "finger wrong")
            device.glass.place_synthetic(int(finger), int(impression))
        case "lift":
            device.glass.lift()
        case "mistake":
            named = said.get("mistake")
            if named is not None and named not in {one.value for one in Mistake}:
                return _answer("551", "no such mistake")
            device.mistake = None if named is None else Mistake(named)
        case "quirks":
            quirks = said.get("quirks")
            if not isinstance(quirks, list) or not {str(one) for one in quirks} <= {one.value for one in Quirk}:
                return _answer("551", "no such quirk")
            device.quirks = frozenset(Quirk(str(one)) for one in quirks)
        case "error":
            number = said.get("errorCode")
            device.error = None if number is None else (str(number), str(said.get("errorInfo", "")))
        case _:
            return _answer("500", "unknown URL")
    return _answer("0", "success")


def _number(said: Any) -> float | None:
    try:
        value = float(said)
    except (TypeError, ValueError):
        return None
    return value if 0 <= value < 1e7 else None


def _answer(number: str, words: str) -> dict[str, Any]:
    return {"error": {"errorCode": number, "errorInfo": words}}
