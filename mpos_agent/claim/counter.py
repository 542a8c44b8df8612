"""What a claim needs of the outside, handed in: a whole claim runs in a test in milliseconds."""

import datetime
import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from config.tables import Tables
from drivers.card.ektp.read import ReadStep
from drivers.card.ektp.record import CardRecord
from drivers.card.emrtd.mrz import MrzKey
from drivers.card.emrtd.read import PassportRecord, PassportStep
from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.sensitive import SensitiveBytes
from matcher.template import Template
from mpos_agent.audit import AuditLog
from mpos_agent.claim.document_store import DocumentStore
from mpos_agent.claim.draft_store import DraftStore
from mpos_agent.claim.policy import Policy
from mpos_agent.clock import Clock
from mpos_agent.people import People
from sync.document_part import DocumentPart
from sync.edge.outbox_row import RowState
from sync.enrolment import SiteType
from sync.packet import ClaimPacket, TimeZone

HOURS_AHEAD: Final = {TimeZone.WIB: 7, TimeZone.WITA: 8, TimeZone.WIT: 9}
"""Of UTC; Indonesia has no summer time."""

CardProgress = Callable[[ReadStep], None]
"""Told when a step of the card read begins."""
PassportProgress = Callable[[PassportStep], None]
"""Told when a step of the passport read begins."""
FingerProgress = Callable[[str], None]
"""Told ``place_finger``, then ``compare``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the device stands, as enrolment said, and what the slip calls it."""

    device_id: str
    branch_code: str
    kanwil_code: str
    partner_code: str | None
    site_type: SiteType
    zone: TimeZone
    station: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerPrompt:
    """Which finger is asked for."""

    claim_id: str
    finger: int
    """ISO code, 0 when the card does not say."""
    attempt: int
    limit: int
    text_id: str
    text_en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """Where a packet stands in the outbox."""

    packet_id: str
    lane: str
    seq: int
    size_bytes: int
    digest: bytes
    """SHA-256 of the envelope: what a receipt will name."""


class CardFinger(Protocol):
    """One finger of a card, decoded."""

    @property
    def finger(self) -> int:
        """ISO code from the template itself, 0 unknown."""

    @property
    def template(self) -> Template:
        """Its minutiae; the caller's to wipe."""


class PictureQuality(Protocol):
    """How usable a picture is."""

    @property
    def value(self) -> float:
        """0 to 100."""

    @property
    def reasons(self) -> Sequence[enum.Enum]:
        """What could be better, the most hindering first; each has a sentence under ``quality`` in the texts."""


class Score(Protocol):
    """What a comparison says."""

    @property
    def value(self) -> float:
        """Compared with the threshold."""

    @property
    def matched(self) -> int:
        """Minutiae laid on one another."""

    @property
    def band(self) -> str:
        """``none``, or the strictest threshold reached."""


class Matcher(Protocol):
    """Pixels to score. ``local_matcher.py`` is the real one."""

    @property
    def version(self) -> str:
        """Travels with the claim."""

    @property
    def parameter_digest(self) -> str:
        """Hex; travels with the claim."""

    def threshold(self, threshold_id: str) -> float:
        """The least score for the named false match rate; KeyError for an unknown name."""

    def decode(self, record: SensitiveBytes) -> CardFinger | None:
        """A template of the card; None when it is not readable."""

    def quality(self, image: FingerImage) -> PictureQuality:
        """How usable a picture is; MatcherError when it is no picture of a finger."""

    def extract(self, image: FingerImage) -> Template:
        """Its minutiae, the caller's to wipe; MatcherError when it is no picture of a finger."""

    def compare(self, probe: Template, gallery: Template) -> Score:
        """How alike."""

    def in_series(self, score: Score, allowed: int) -> Score:
        """What a comparison says when it is one of ``allowed``: the rate it names then holds for all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One counter: its devices, stores, people and rules."""

    read_card: Callable[[CardProgress, threading.Event], CardRecord]
    """Wait for a card and read it; DeviceError by cause. The event ends the wait. The record is ours to wipe."""
    read_passport: Callable[[MrzKey, PassportProgress, threading.Event], PassportRecord]
    """Wait for a passport and read it; the event ends the wait. The record is ours to wipe."""
    capture: Callable[[FingerPrompt, float, threading.Event], FingerImage | PlaceAgain]
    """Wait so many seconds for a finger; the event ends the wait. The picture is ours to wipe."""
    matcher: Matcher
    store: DraftStore
    documents: DocumentStore
    audit: AuditLog
    people: People
    outbox_put: Callable[[ClaimPacket], Queued]
    """Seal and queue; called inside the transaction that also deletes the draft."""
    part_put: Callable[[DocumentPart], None]
    """Seal and queue one part of a document; called inside the transaction that also erases its box."""
    claim_row: Callable[[UUID], RowState | None]
    """Where a claim that was queued here stands; None when it never was."""
    site: Callable[[], Site | None]
    """None until the device is enrolled."""
    clock: Clock
    tables: Tables
    policy: Policy
    agent_version: str
    random: Callable[[int], bytes]

    def day_began(self) -> datetime.datetime:
        """The last midnight where this counter stands, in UTC; Jakarta's before the device is enrolled."""
        site = self.site()
        ahead = datetime.timedelta(hours=HOURS_AHEAD[site.zone if site else TimeZone.WIB])
        here = self.clock.now() + ahead
        return here.replace(hour=0, minute=0, second=0, microsecond=0) - ahead

    def today(self) -> datetime.date:
        """The day in Jakarta's zone, for ages: a day boundary at 07:00 local helps nobody."""
        return (self.clock.now() + datetime.timedelta(hours=7)).date()
