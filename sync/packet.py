"""Claim packet, version 1: every field a claim carries to head office, and its canonical bytes; pure.

The packet holds evidence, never a decision, and nothing of a finger but outcomes: no image, no template, no
hash of either has a field here. Who sent it, its place in the device's chain, its signature and its encryption
suite stand on the envelope around it (sync/envelope.py). docs/packet-format.md explains each field.
"""

import enum
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from sync import cbor
from sync.enrolment import OFFICE_CODE, SiteType
from sync.envelope import DEVICE_ID, MAX_PACKET_BYTES
from sync.errors import CborError, PacketError, Refusal, WireError
from sync.records import Blob, Choice, Day, Flag, Identifier, Many, Moment, Nested, Record, Text, Whole

TYPE = "claim"
SCHEMA_VERSION = 1
MAX_PHOTO_BYTES = 64 * 1024
"""The chip's photo has at most 1,700 bytes; one the operator took may be larger."""

CODE = Text(32, pattern=r"[A-Z0-9][A-Z0-9_]*")
"""A code out of a versioned table: head office knows the table, this format does not."""
NAME = Text(100)
PERSON_ID = Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9._@-]*")
"""Operators and supervisors, as the agent names them."""
SHA256 = Blob(32)
MAX_DOCUMENTS = 64


class Purpose(enum.StrEnum):
    """What a packet is for."""

    CLAIM = "CLAIM"
    DRILL = "DRILL"
    """A practice claim on the real path; head office never pays one."""


class ClockTrust(enum.StrEnum):
    """Whether the time of capture can be relied on."""

    TRUSTED = "TRUSTED"
    DOUBTFUL = "DOUBTFUL"


class TimeZone(enum.StrEnum):
    """Indonesia's three zones."""

    WIB = "WIB"
    WITA = "WITA"
    WIT = "WIT"


class Programme(enum.StrEnum):
    """Benefit programmes."""

    JHT = "JHT"
    JKK = "JKK"
    JKM = "JKM"
    JP = "JP"
    JKP = "JKP"
    """Claimed elsewhere; the code exists so that it can be refused clearly."""


class Segment(enum.StrEnum):
    """Kinds of membership."""

    PU = "PU"
    BPU = "BPU"
    PMI = "PMI"
    JAKON = "JAKON"


class Relation(enum.StrEnum):
    """Who claims, as seen from the worker."""

    SELF = "SELF"
    SPOUSE = "SPOUSE"
    CHILD = "CHILD"
    PARENT = "PARENT"
    OTHER_HEIR = "OTHER_HEIR"
    GUARDIAN = "GUARDIAN"


class Sex(enum.StrEnum):
    """As the card says."""

    MALE = "MALE"
    FEMALE = "FEMALE"


class IdentitySource(enum.StrEnum):
    """Where the claimant's identity was taken from."""

    CHIP = "CHIP"
    KTP_MANUAL = "KTP_MANUAL"
    IKD = "IKD"
    SUKET = "SUKET"
    PASSPORT = "PASSPORT"


class ChipAuth(enum.StrEnum):
    """Mutual authentication of chip and SAM: a genuine chip. Says nothing of the data's signature."""

    OK = "OK"
    FAIL = "FAIL"
    NONE = "NONE"


class NaCode(enum.StrEnum):
    """Membership status as declared; the device can not know it."""

    NA = "NA"
    AKTIF = "AKTIF"
    UNKNOWN = "UNKNOWN"


class Modality(enum.StrEnum):
    """What was compared."""

    FINGER = "FINGER"
    NONE = "NONE"


class AttemptOutcome(enum.StrEnum):
    """What one placing of the finger gave."""

    MATCH = "MATCH"
    NO_MATCH = "NO_MATCH"
    QUALITY_LOW = "QUALITY_LOW"
    NOT_PLACED = "NOT_PLACED"
    DEVICE_FAILED = "DEVICE_FAILED"


class BioOutcome(enum.StrEnum):
    """What all attempts together gave: evidence, never a decision."""

    MATCH = "MATCH"
    NO_MATCH = "NO_MATCH"
    QUALITY_LOW = "QUALITY_LOW"
    EXEMPT = "EXEMPT"
    DEVICE_DEGRADED = "DEVICE_DEGRADED"
    NOT_DONE = "NOT_DONE"


class PhotoCompare(enum.StrEnum):
    """The operator's answer: is the person the one on the photo?"""

    SAME = "SAME"
    NOT_SAME = "NOT_SAME"
    UNSURE = "UNSURE"


class Basis(enum.StrEnum):
    """Ground for processing (UU 27/2022 art. 20)."""

    EXPLICIT_CONSENT = "EXPLICIT_CONSENT"
    CONTRACT = "CONTRACT"
    LEGAL_DUTY = "LEGAL_DUTY"
    VITAL_INTEREST = "VITAL_INTEREST"
    PUBLIC_TASK = "PUBLIC_TASK"
    LEGITIMATE_INTEREST = "LEGITIMATE_INTEREST"


class ConsentMethod(enum.StrEnum):
    """How the member was told and answered."""

    ON_SCREEN = "ON_SCREEN"
    READ_ALOUD = "READ_ALOUD"
    PAPER = "PAPER"


class NpwpAnswer(enum.StrEnum):
    """The device does not know whether the tax number is needed, only whether it was asked for."""

    NOT_ASKED = "NOT_ASKED"
    GIVEN = "GIVEN"
    REFUSED = "REFUSED"


class NameMatch(enum.StrEnum):
    """Whether the bank account's name is the claimant's, after normalising."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    NOT_CHECKED = "NOT_CHECKED"


class Declaration(enum.StrEnum):
    """How the member confirmed the claim."""

    CONFIRMED_ON_SCREEN = "CONFIRMED_ON_SCREEN"
    PAPER_F5 = "PAPER_F5"


class PhotoMime(enum.StrEnum):
    """What the photo's bytes are."""

    JPEG = "image/jpeg"
    SEALED = 'application/cose; cose-type="cose-encrypt"'
    """A JPEG encrypted once more, to those alone who may see it."""


class _Part(Record):
    """Every part of a packet refuses with PacketError."""

    __slots__ = ()

    refuse: ClassVar[type[WireError]] = PacketError


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(_Part):
    """A claimant or worker. From the chip the values stand as on the card."""

    nik: Annotated[str | None, Text(16, least=16, pattern=r"\d{16}")] = None
    """None only where identity comes from a passport."""
    identity_no: Annotated[str | None, Text(32, pattern=r"[0-9A-Za-z./-]+")] = None
    """Number of the passport or letter that stands in for the card."""
    name: Annotated[str, NAME]
    birth_place: Annotated[str | None, NAME] = None
    birth_date: Annotated[date | None, Day()] = None
    sex: Annotated[Sex | None, Choice(Sex)] = None
    address: Annotated[str | None, Text(400)] = None
    nationality: Annotated[str | None, Text(40)] = None

    def check_together(self) -> None:
        """Somebody without any number can not be found."""
        if self.nik is None and self.identity_no is None:
            raise PacketError(Refusal.CONTRADICTION, "nik", "neither NIK nor another identity number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(_Part):
    """One placing of a finger, counted whatever came of it."""

    finger: Annotated[int, Whole(0, 10)]
    """ISO/IEC 19794-2 finger position, 0 unknown."""
    quality: Annotated[int | None, Whole(0, 100)] = None
    """None when no picture came."""
    outcome: Annotated[AttemptOutcome, Choice(AttemptOutcome)]
    ms: Annotated[int, Whole(0, 600_000)]
    """From the prompt to the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bio(_Part):
    """Evidence of the comparison on the device, such that it can be judged later without the finger."""

    modality: Annotated[Modality, Choice(Modality)]
    finger_position: Annotated[int | None, Whole(0, 10)] = None
    """The finger compared last, as the card names it: never assumed."""
    attempts: Annotated[tuple[Attempt, ...], Many(Nested(Attempt), 32)] = ()
    outcome: Annotated[BioOutcome, Choice(BioOutcome)]
    score_band: Annotated[str | None, Text(32)] = None
    threshold_id: Annotated[str | None, Text(32)] = None
    """Named by the false match rate it stands for."""
    paired_minutiae: Annotated[int | None, Whole(0, 255)] = None
    matcher_version: Annotated[str | None, Text(32)] = None
    parameter_digest: Annotated[str | None, Text(64, pattern=r"[0-9a-f]+")] = None

    def check_together(self) -> None:
        """A match needs an attempt that matched and the means to judge it; no finger, no attempts."""
        matched = any(attempt.outcome is AttemptOutcome.MATCH for attempt in self.attempts)
        if matched != (self.outcome is BioOutcome.MATCH):
            raise PacketError(Refusal.CONTRADICTION, "outcome", "differs from the attempts")
        if self.outcome is BioOutcome.MATCH and None in (self.score_band, self.threshold_id, self.matcher_version):
            raise PacketError(Refusal.CONTRADICTION, "score_band", "a match without band, threshold and version")
        if self.modality is Modality.NONE and self.attempts:
            raise PacketError(Refusal.CONTRADICTION, "attempts", "attempts without a modality")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(_Part):
    """Why the claim goes on without a match, and that a second person said so."""

    code: Annotated[str, CODE]
    reason: Annotated[str, Text(500)]
    pending_supervisor: Annotated[bool, Flag()]
    """True in the field when nobody was there to countersign yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFace(_Part):
    """The claimant's photo, where policy lets it travel."""

    mime: Annotated[PhotoMime, Choice(PhotoMime)]
    content: Annotated[bytes, Blob(MAX_PHOTO_BYTES, least=4)] = field(repr=False)
    retention_days: Annotated[int, Whole(0, 36_500)]

    def check_together(self) -> None:
        """The bytes are what they are called: nothing else gets into a packet under this name."""
        starts = b"\xff\xd8\xff" if self.mime is PhotoMime.JPEG else b"\xd8\x60\x84"
        if not self.content.startswith(starts):
            raise PacketError(Refusal.CONTRADICTION, "content", "not what mime says")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent(_Part):
    """Proof of notice and answer."""

    text_version: Annotated[str, Text(32)]
    hash: Annotated[bytes, SHA256]
    """SHA-256 over the UTF-8 text that was shown."""
    basis: Annotated[Basis, Choice(Basis)]
    given: Annotated[bool, Flag()]
    """The answer to the fingerprint step; refusing does not end the claim."""
    method: Annotated[ConsentMethod, Choice(ConsentMethod)]
    at: Annotated[datetime, Moment()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(_Part):
    """How to reach the claimant."""

    phone: Annotated[str | None, Text(24, pattern=r"\+?[0-9 ().-]+")] = None
    email: Annotated[str | None, Text(254)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Employment(_Part):
    """One line of the employment history (wage earners only)."""

    year_in: Annotated[int, Whole(1900, 2999)]
    year_out: Annotated[int | None, Whole(1900, 2999)] = None
    employer: Annotated[str, NAME]
    address: Annotated[str | None, Text(400)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Npwp(_Part):
    """Tax number."""

    answer: Annotated[NpwpAnswer, Choice(NpwpAnswer)]
    number: Annotated[str | None, Text(16, least=15, pattern=r"\d{15,16}")] = None

    def check_together(self) -> None:
        """A number exactly when one was given."""
        if (self.answer is NpwpAnswer.GIVEN) != (self.number is not None):
            raise PacketError(Refusal.CONTRADICTION, "number", "differs from the answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank(_Part):
    """Where to pay."""

    code: Annotated[str, Text(3, least=3, pattern=r"\d{3}")]
    account: Annotated[str, Text(34, pattern=r"\d+")]
    name_on_account: Annotated[str, NAME]
    name_match: Annotated[NameMatch, Choice(NameMatch)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(_Part):
    """One supporting document; its pages travel in the documents lane."""

    type_code: Annotated[str, CODE]
    pages: Annotated[int, Whole(1, 500)]
    mime: Annotated[str, Text(64, pattern=r"[a-z]+/[a-z0-9.+-]+")]
    size_bytes: Annotated[int, Whole(0, 1 << 32)]
    """Size of the whole document; 0 when only the paper was seen."""
    sha256: Annotated[bytes | None, SHA256] = None
    """None when only the paper was seen."""
    legible: Annotated[bool, Flag()]

    def check_together(self) -> None:
        """A hash exactly when there is a file."""
        if (self.size_bytes > 0) != (self.sha256 is not None):
            raise PacketError(Refusal.CONTRADICTION, "sha256", "a hash exactly when there is a file")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPacket(_Part):
    """One claim, complete. Making one checks it; whatever was made can be encoded and decoded unchanged."""

    packet_id: Annotated[UUID, Identifier()]
    """Time-ordered (version 7); the idempotency key of the claim."""
    purpose: Annotated[Purpose, Choice(Purpose)] = Purpose.CLAIM
    device_id: Annotated[str, DEVICE_ID]
    """The envelope's, once more under the encryption."""
    branch_code: Annotated[str, OFFICE_CODE]
    kanwil_code: Annotated[str, OFFICE_CODE]
    partner_code: Annotated[str | None, OFFICE_CODE] = None
    site_type: Annotated[SiteType, Choice(SiteType)]
    operator_id: Annotated[str, PERSON_ID]
    supervisor_id: Annotated[str | None, PERSON_ID] = None
    captured_at: Annotated[datetime, Moment()]
    tz: Annotated[TimeZone, Choice(TimeZone)]
    clock_trust: Annotated[ClockTrust, Choice(ClockTrust)]
    programme: Annotated[Programme, Choice(Programme)]
    reason_code: Annotated[str, CODE]
    segment: Annotated[Segment, Choice(Segment)]
    relation: Annotated[Relation, Choice(Relation)]
    claimant: Annotated[Person, Nested(Person)]
    worker: Annotated[Person | None, Nested(Person)] = None
    """The member, where somebody else claims."""
    identity_source: Annotated[IdentitySource, Choice(IdentitySource)]
    reader_serial: Annotated[str | None, Text(100)] = None
    sam_id: Annotated[str | None, Text(64, pattern=r"[0-9a-f]+")] = None
    chip_auth: Annotated[ChipAuth, Choice(ChipAuth)]
    data_signature: Annotated[str | None, Text(8, pattern=r"[0-9a-f]+")] = None
    """What the SAM said of the data signature, raw, as hex: its codes are not public."""
    kpj: Annotated[str, Text(11, least=11, pattern=r"[0-9A-Z]{11}")]
    npp: Annotated[str | None, Text(8, least=8, pattern=r"[0-9A-Z]{8}")] = None
    company_name: Annotated[str | None, NAME] = None
    na_code_declared: Annotated[NaCode, Choice(NaCode)] = NaCode.UNKNOWN
    bio: Annotated[Bio, Nested(Bio)]
    fallback: Annotated[Fallback | None, Nested(Fallback)] = None
    photo_compare: Annotated[PhotoCompare | None, Choice(PhotoCompare)] = None
    photo_face: Annotated[PhotoFace | None, Nested(PhotoFace)] = None
    consent: Annotated[Consent, Nested(Consent)]
    contact: Annotated[Contact, Nested(Contact)]
    mother_name: Annotated[str | None, NAME] = None
    employment_history: Annotated[tuple[Employment, ...], Many(Nested(Employment), 40)] = ()
    npwp: Annotated[Npwp, Nested(Npwp)]
    bank: Annotated[Bank | None, Nested(Bank)] = None
    documents: Annotated[tuple[Document, ...], Many(Nested(Document), MAX_DOCUMENTS)] = ()
    missing_documents: Annotated[tuple[str, ...], Many(CODE, 64)] = ()
    """Mandatory types not handed in: the claim is incomplete, not blocked."""
    declaration: Annotated[Declaration, Choice(Declaration)]
    warnings: Annotated[tuple[str, ...], Many(CODE, 64)] = ()
    """What the device's checks warned of; each becomes a flag at head office."""
    audit_head: Annotated[bytes, SHA256]
    """Head of the device's audit chain when the packet was sealed."""
    tables_version: Annotated[str, Text(32)]
    agent_version: Annotated[str, Text(32)]

    def check_together(self) -> None:
        """The rules of a claim that need no table; those that need one belong to whoever has the table."""
        if self.supervisor_id == self.operator_id:
            raise PacketError(Refusal.CONTRADICTION, "supervisor_id", "nobody supervises themselves")
        if (self.relation is Relation.SELF) != (self.worker is None):
            raise PacketError(Refusal.CONTRADICTION, "worker", "there exactly when somebody else claims")
        if self.bio.outcome is not BioOutcome.MATCH:
            self._check_fallback()
        if self.identity_source is IdentitySource.CHIP:
            if self.claimant.nik is None or self.chip_auth is ChipAuth.NONE:
                raise PacketError(Refusal.CONTRADICTION, "identity_source", "a chip read without NIK or authentication")
        elif self.bio.outcome is BioOutcome.MATCH:
            raise PacketError(Refusal.CONTRADICTION, "bio.outcome", "a match without a chip to match against")
        if self.bio.attempts and not self.consent.given:
            raise PacketError(Refusal.CONTRADICTION, "bio.attempts", "a finger was taken without consent")

    def _check_fallback(self) -> None:
        if self.fallback is None or self.photo_compare is None:
            raise PacketError(Refusal.CONTRADICTION, "fallback", "no match, no fallback data")
        if (self.supervisor_id is None) != self.fallback.pending_supervisor:
            raise PacketError(Refusal.CONTRADICTION, "fallback.pending_supervisor", "countersigned or pending, one")

    def encode(self) -> bytes:
        """The canonical bytes. Raises PacketError TOO_LONG beyond MAX_PACKET_BYTES."""
        data = cbor.encode({"type": TYPE, "schema_version": SCHEMA_VERSION, **self.to_map()})
        if len(data) > MAX_PACKET_BYTES:
            raise PacketError(Refusal.TOO_LONG, detail=f"at most {MAX_PACKET_BYTES} bytes")
        return data


def decode(data: bytes) -> ClaimPacket:
    """Read a packet. Raises PacketError with the named reason; ``decode(x).encode() == x`` for whatever it takes."""
    try:
        value = cbor.decode(data, max_bytes=MAX_PACKET_BYTES, max_items=4096, max_depth=5)
    except CborError as error:
        raise PacketError(error.refusal, error.field, error.detail) from error
    if not isinstance(value, dict):
        raise PacketError(Refusal.WRONG_TYPE, detail="not a map")
    # Type and version first: another kind of packet, or a later version, should be called that.
    for key, known, refusal in (
        ("type", TYPE, Refusal.UNKNOWN_TYPE),
        ("schema_version", SCHEMA_VERSION, Refusal.UNKNOWN_VERSION),
    ):
        if key not in value:
            raise PacketError(Refusal.MISSING_KEY, key)
        found = value.pop(key)
        if type(found) is not type(known) or found != known:
            raise PacketError(refusal, key)
    return ClaimPacket.from_map(value)


def new_packet_id(now_ms: int, random: bytes) -> UUID:
    """A version 7 UUID (RFC 9562): 48 bits of milliseconds since 1970, then 74 of 10 random bytes' 80 bits."""
    bits = (now_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(random[:10], "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=bits)
