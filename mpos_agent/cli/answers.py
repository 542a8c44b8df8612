"""Where the answers of a claim come from: a file written beforehand, for unattended runs, or a person."""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from config.errors import ConfigError
from mpos_agent.cli.shell import read_pin
from mpos_agent.errors import AgentError

Fields = dict[str, Any]

STEP_SECTIONS = {
    "consent": "consent",
    "read_card": "card",
    "identity_by_hand": "identity",
    "capture_finger": "finger",
    "fallback": "fallback",
    "photo_check": "photo_check",
    "documents": "documents",
    "form": "form",
    "confirm": "confirm",
}
"""Which section of an answers file speaks for which step of ``mpos_agent/claim/procedure.py``."""
_SECTIONS = ("operator", "claim", *STEP_SECTIONS.values(), "passport", "withdraw")
_DEVICE_KEYS = {"tries"}
_TRIES = 3


class NoAnswerError(AgentError):
    """The answers file has nothing for the step that is next; ``detail`` names the section. The claim stays open."""

    code = "no_answer"


class DocumentRefusedError(AgentError):
    """A scanned file of the answers file cannot be taken; ``detail`` says which and why. The claim stays open."""

    code = "document_refused"


Attach = Callable[[int, Path], Mapping[str, Any] | None]
"""Sends a scanned file to the agent under a number; gives what the agent found in it, or None when it was refused,
which is on the screen then."""


class Answers(Protocol):
    """What is answered at each step; the keys are those of the local API's requests."""

    def uploads(self, attach: Attach) -> None:
        """How a scanned file gets to the agent."""

    def document_type(self, tables: Mapping[str, Any]) -> str:
        """What kind of document comes later."""

    def sign_in(self) -> Fields:
        """``person_id`` and ``pin`` of the operator."""

    def start(self, tables: Mapping[str, Any]) -> Fields:
        """Programme, reason, segment, relation."""

    def resume(self, open_claims: list[Mapping[str, Any]], tables: Mapping[str, Any]) -> str | None:
        """Which open claim to go on with; None for a new one."""

    def answer(self, prompt: Mapping[str, Any], view: Mapping[str, Any], tables: Mapping[str, Any]) -> Fields:
        """The answer to this prompt; device steps need none."""

    def confirm(self, summary: Mapping[str, Any]) -> Fields:
        """The member's answer to the summary."""

    def withdraw(self) -> Fields:
        """``reason`` for taking the claim back."""

    def go_on(self, step: str, failures: int) -> bool:
        """Whether a device step that failed so often in a row is tried again."""

    def passport(self) -> Fields | None:
        """What opens a passport's chip, for a person without e-KTP; None for everybody else."""

    def without_chip(self, view: Mapping[str, Any]) -> Fields | None:
        """``code`` for giving the chip up, or None to stay with it."""

    def without_finger(self, view: Mapping[str, Any]) -> Fields | None:
        """A countersignature in place of further attempts, or None."""

    def blocked(self, step: str, fields: Sequence[str]) -> None:
        """These fields of the last answer cannot be; empty for the answer as a whole."""

    def corrects(self) -> bool:
        """Whether asking again after something blocked can bring another answer."""


class AnswersFile:
    """One section per step, in TOML or JSON; ``docs/technician.md`` shows one.

    ``[card] tries`` and ``[finger] tries`` limit how often a failing device step is repeated. ``[identity]``
    with ``code`` is used when the card could not be read; ``[fallback]`` when a second person is called for,
    or, with a ``code`` of its own, when the scanner fails as often as it may. A row of ``[[documents]]`` may name
    a ``file``, relative to the answers file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._attach: Attach | None = None
        self._content = _read(file)
        for section in self._content:
            if section not in _SECTIONS:
                near = difflib.get_close_matches(section, _SECTIONS, n=1)
                cure = f"did you mean [{near[0]}]?" if near else f"known are {', '.join(_SECTIONS)}"
                raise ConfigError(file, section, "no such section", cure)

    def sign_in(self) -> Fields:
        """``[operator]`` with ``id`` and ``pin``, or ``pin_file``."""
        operator = self._section("operator")
        return {"person_id": str(operator.get("id", "")), "pin": _pin_of(operator)}

    def start(self, tables: Mapping[str, Any]) -> Fields:
        """``[claim]`` as it stands."""
        return self._section("claim")

    def resume(self, open_claims: list[Mapping[str, Any]], tables: Mapping[str, Any]) -> str | None:
        """A new claim; an old one only when the command line names it."""
        return None

    def answer(self, prompt: Mapping[str, Any], view: Mapping[str, Any], tables: Mapping[str, Any]) -> Fields:
        """The section of the step; NoAnswerError when there is none."""
        match prompt["step"]:
            case "read_card" | "capture_finger":
                return {}
            case "documents":
                return {"documents": [self._document(*row) for row in enumerate(self._content.get("documents", []))]}
            case "form":
                return {"fields": self._section("form")}
            case "identity_by_hand":
                fields = self._section("identity")
                fields.pop("code", None)
                return {"source": fields.pop("source", None), "fields": fields}
            case "fallback":
                return self._fallback(prompt["facts"].get("code"))
            case step:
                return self._section(STEP_SECTIONS[step])

    def confirm(self, summary: Mapping[str, Any]) -> Fields:
        """Yes, unless ``[confirm] member_confirms`` says otherwise."""
        return {"member_confirms": True, **self._content.get("confirm", {})}

    def withdraw(self) -> Fields:
        """``[withdraw]`` with ``reason``."""
        return self._section("withdraw")

    def go_on(self, step: str, failures: int) -> bool:
        """As often as ``tries`` says, three times by default."""
        section = self._content.get(STEP_SECTIONS.get(step, ""), {})
        return failures < int(section.get("tries", _TRIES) if isinstance(section, Mapping) else 1)

    def passport(self) -> Fields | None:
        """``[passport]``, when there is one: it is read in place of a card."""
        return self._section("passport") if "passport" in self._content else None

    def without_chip(self, view: Mapping[str, Any]) -> Fields | None:
        """``[identity] code``, when there is one."""
        code = self._content.get("identity", {}).get("code")
        return {"code": code} if code else None

    def without_finger(self, view: Mapping[str, Any]) -> Fields | None:
        """``[fallback]`` with a code of its own."""
        return self._fallback(None) if self._content.get("fallback", {}).get("code") else None

    def blocked(self, step: str, fields: Sequence[str]) -> None:
        """A file learns nothing."""

    def corrects(self) -> bool:
        """A file gives the same answer again."""
        return False

    def uploads(self, attach: Attach) -> None:
        """For the rows of ``[[documents]]`` with a ``file``."""
        self._attach = attach

    def document_type(self, tables: Mapping[str, Any]) -> str:
        """Not in the file: the command line says it."""
        raise NoAnswerError("--type is missing")

    def _document(self, number: int, row: Any) -> Any:
        """A row as the agent takes it: its ``file`` sent first. Raises DocumentRefusedError."""
        if not isinstance(row, Mapping) or "file" not in row:
            return row
        file = self._file.parent / str(row["file"])
        assert self._attach is not None, "told before the first answer"
        try:
            found = self._attach(number, file)
        except OSError as error:
            cause = f"{file} cannot be read ({error.strerror})"
            raise ConfigError(self._file, f"documents[{number}].file", cause, "check the path") from error
        if found is None:
            raise DocumentRefusedError(f"[[documents]] {number + 1}: {file.name}")
        return {**{name: value for name, value in row.items() if name != "file"}, "attachment": number}

    def _fallback(self, code: str | None) -> Fields:
        answer = {"code": code, **self._section("fallback")}
        pin = _pin_of(answer)
        answer.pop("pin_file", None)
        return {**answer, "pin": pin}

    def _section(self, name: str) -> Fields:
        section = self._content.get(name)
        if not isinstance(section, Mapping):
            raise NoAnswerError(f"{self._file} has no section [{name}]")
        return {key: value for key, value in section.items() if key not in _DEVICE_KEYS}


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(file, "--answers", f"cannot be read ({error.strerror})", "check the path") from error
    except ValueError as error:
        raise ConfigError(file, "--answers", "is neither TOML nor JSON", "correct the file") from error
    if not isinstance(content, dict):
        raise ConfigError(file, "--answers", "has no sections", "docs/technician.md shows one")
    return content


def _pin_of(section: Mapping[str, Any]) -> str:
    if "pin_file" in section:
        return read_pin(Path(str(section["pin_file"])), "")
    return str(section.get("pin", ""))
