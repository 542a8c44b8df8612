"""What a step hands back to the session, and what the session hands to its caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.tables import Text
from drivers.errors import DeviceError
from matcher.errors import MatcherError
from mpos_agent.audit import Act, Fact
from mpos_agent.claim.draft import ClaimDraft
from mpos_agent.claim.findings import Found, Told
from mpos_agent.claim.states import Event, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One step's result. The session moves the state, saves and audits; a step does none of that."""

    event: Event | None
    """None: something blocks, and nothing has changed."""
    draft: ClaimDraft
    act: Act
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """For the audit row."""
    found: tuple[Found, ...] = ()
    say: str = ""
    """Key of a sentence under ``happened`` in the texts; empty when the prompt says enough."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For the caller; numbers and words that JSON knows."""
    photo: bytes | None = None
    """A chip photo to keep with the draft."""
    failure: DeviceError | MatcherError | None = None
    """What a device or the matcher ran into, raised again once it is saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is to be done next."""

    code: str
    """Stable; the sentence stands under ``prompt`` in the texts."""
    step: str | None
    """Name of the session's method that does it; None when the claim is over."""
    text: Text
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For API and ``--json``."""
        return {
            "code": self.code,
            "step": self.step,
            "text_id": self.text.id,
            "text_en": self.text.en,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What came of one call on a session."""

    happened: str
    """Name of the event, or ``BLOCKED``."""
    state: State
    blocks: tuple[Told, ...] = ()
    cautions: tuple[Told, ...] = ()
    text: Text | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    next: Prompt

    @property
    def accepted(self) -> bool:
        """Whether the claim moved on (or stayed where it is, as the event says); False when something blocks."""
        return not self.blocks

    def as_json(self) -> dict[str, Any]:
        """For API and ``--json``."""
        return {
            "happened": self.happened,
            "accepted": self.accepted,
            "state": self.state.value,
            "blocks": [item.as_json() for item in self.blocks],
            "cautions": [item.as_json() for item in self.cautions],
            "text_id": self.text.id if self.text else None,
            "text_en": self.text.en if self.text else None,
            "details": dict(self.details),
            "next": self.next.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A claim that was not opened, and why."""

    blocks: tuple[Told, ...]
    elsewhere: Text | None = None
    """Where the programme is claimed instead."""

    def as_json(self) -> dict[str, Any]:
        """For API and ``--json``."""
        return {
            "happened": "BLOCKED",
            "accepted": False,
            "blocks": [item.as_json() for item in self.blocks],
            "elsewhere_id": self.elsewhere.id if self.elsewhere else None,
            "elsewhere_en": self.elsewhere.en if self.elsewhere else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaim:
    """An open claim in a list; everything but the id is empty when its draft does not decrypt."""

    claim_id: str
    state: str = ""
    programme: str = ""
    opened_at: str = ""
    operator_id: str = ""
    ticket: str | None = None
    readable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What is printed for the member: no identity number, no balance."""

    reference: str
    captured_at: str
    """Local time with its zone, ``04-APR-2026 10:15 WIB``."""
    device_id: str
    branch_code: str
    station: str
    programme: Text
    next: Text
    missing_documents: tuple[Text, ...]
    contact: str = "175"

    def as_json(self) -> dict[str, Any]:
        """For API, ``--json`` and a printer."""
        return {
            "reference": self.reference,
            "captured_at": self.captured_at,
            "device_id": self.device_id,
            "branch_code": self.branch_code,
            "station": self.station,
            "programme_id": self.programme.id,
            "programme_en": self.programme.en,
            "next_id": self.next.id,
            "next_en": self.next.en,
            "missing_documents": [{"id": text.id, "en": text.en} for text in self.missing_documents],
            "contact": self.contact,
        }
