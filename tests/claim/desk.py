"""A counter of our own for tests: fake card, scanner and matcher; database, outbox, envelope and people are real."""

import contextlib
import datetime
import math
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.tables import Tables, load_tables
from drivers.card.ektp.biodata import Biodata
from drivers.card.ektp.read import ReadStep
from drivers.card.ektp.record import CardRecord, CardType, DataSignature
from drivers.card.emrtd.mrz import MrzKey
from drivers.card.emrtd.read import PassportRecord, PassportStep
from drivers.errors import DeviceError
from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.sensitive import SensitiveBytes
from matcher.errors import UnusableImageError
from matcher.quality import QualityReason
from matcher.template import Template
from mpos_agent.audit import AuditLog
from mpos_agent.claim.counter import CardProgress, Counter, FingerPrompt, PassportProgress, Queued, Score, Site
from mpos_agent.claim.document_store import DocumentStore
from mpos_agent.claim.draft_store import DraftKey, DraftStore
from mpos_agent.claim.policy import Policy
from mpos_agent.claim.session import ClaimDesk, ClaimSession
from mpos_agent.claim.steps.seal import part_into, queue_into, state_in
from mpos_agent.people import People, Role
from sync import document_part
from sync import packet as wire
from sync.document_part import DocumentPart
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.database import Database
from sync.edge.outbox import Outbox
from sync.edge.sealing import Sealer
from sync.enrolment import SiteType
from sync.envelope import Lane, open_envelope, verify
from sync.keys import SoftwareSigner
from sync.packet import ClaimPacket, ConsentMethod, PhotoCompare, Relation, Segment, TimeZone
from sync.recipients import RecipientPrivateKey, Suite

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Every save is flushed; where not the disk is tested but what is written to it, memory is quick enough."""

NIK = "9901014107850001"
"""A woman born on 1 July 1985, of the unassigned province."""
OTHER_NIK = "9901010203900002"
PIN, SUPERVISOR_PIN = "314159", "271828"
PHOTO = b"\xff\xd8\xff\xe0" + b"photo of a drawing" * 20 + b"\xff\xd9"
RIGHT, LEFT = b"template of the right index finger, secret", b"template of the left index finger, secret"


class StillClock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.wall = datetime.datetime(2026, 11, 20, 2, 0, tzinfo=datetime.UTC)
        self.seconds = 100.0
        self.trusted = True

    def now(self) -> datetime.datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def pass_time(self, seconds: float) -> None:
        self.wall += datetime.timedelta(seconds=seconds)
        self.seconds += seconds


def holder(nik: str = NIK, **changes: Any) -> Biodata:
    """The synthetic holder PESERTA UJI SATU."""
    person = Biodata(
        nik=nik,
        address="JL CONTOH NO 1",
        rt="001",
        rw="002",
        birth_place="KOTA UJI",
        kecamatan="UJI",
        kelurahan="CONTOH",
        kabupaten="KOTA UJI",
        sex="PEREMPUAN",
        blood_group="-",
        religion="ISLAM",
        marital_status="KAWIN",
        occupation="KARYAWAN",
        name="PESERTA UJI SATU",
        birth_date=datetime.date(1985, 7, 1),
        province="PROVINSI UJI",
        valid_until="SEUMUR HIDUP",
        right_finger=2,
        left_finger=7,
        nationality="WNI",
        field_20="UJI",
    )
    return replace(person, **changes)


def card(biodata: Biodata | None = None, templates: tuple[bytes, ...] = (RIGHT, LEFT), **changes: Any) -> CardRecord:
    """What a read gives."""
    record = CardRecord(
        reader="Virtual PCD 00 00",
        sam_reader="Virtual PCD 00 01",
        sam_uid=bytes(range(8)),
        card_type=CardType.A,
        biodata=biodata or holder(),
        photo=PHOTO,
        signature_image=SensitiveBytes(b"signature drawing"),
        templates=tuple(SensitiveBytes(template) for template in templates),
        chip_authenticated=True,
        data_signature=DataSignature(raw=b"\x90\x00"),
    )
    return replace(record, **changes)


def picture(finger: bytes, quality: int = 80) -> FingerImage:
    """What the fake scanner sees: the finger's name is in the pixels, its quality in the first one."""
    pixels = np.frombuffer(bytes([quality]) + finger, dtype=np.uint8).copy().reshape(1, -1)
    return FingerImage(pixels=pixels, dpi=500.0, scanner="fake")


@dataclass(frozen=True)
class FakeFinger:
    finger: int
    template: Template


@dataclass(frozen=True)
class FakeScore:
    value: float
    matched: int
    band: str


@dataclass(frozen=True)
class FakeQuality:
    value: float
    reasons: tuple[QualityReason, ...] = ()


class FakeMatcher:
    """Two templates match when they were made of the same bytes. Keeps what it handed out, to look for leftovers."""

    version, parameter_digest = "fake-1", "00ff"

    def __init__(self) -> None:
        self.made: list[Template] = []

    def threshold(self, threshold_id: str) -> float:
        return {"FMR_0.01%": 40.0}[threshold_id]

    def decode(self, record: SensitiveBytes) -> FakeFinger | None:
        content = bytes(record.view())
        if not any(content) or content == b"broken":
            return None
        return FakeFinger({RIGHT: 2, LEFT: 7}.get(content, 0), self._template(content))

    def quality(self, image: FingerImage) -> FakeQuality:
        if image.pixels.shape[1] < 3:
            raise UnusableImageError("too small")
        value = float(image.pixels[0, 0])
        return FakeQuality(value, () if value >= 20 else (QualityReason.TOO_DRY,))

    def extract(self, image: FingerImage) -> Template:
        return self._template(image.pixels[0, 1:].tobytes())

    def compare(self, probe: Template, gallery: Template) -> FakeScore:
        same = probe.x.tolist() == gallery.x.tolist()
        return FakeScore(61.0, 31, "FMR_0.001%") if same else FakeScore(4.0, 3, "none")

    def in_series(self, score: Score, allowed: int) -> FakeScore:
        return FakeScore(score.value - 10 * math.log10(allowed), score.matched, score.band)

    def _template(self, content: bytes) -> Template:
        numbers = [float(value) for value in content]
        template = Template.of(numbers, numbers, [0.0] * len(numbers))
        self.made.append(template)
        return template


class FakeTimers:
    """Scheduled acts that run when the test says so."""

    def __init__(self) -> None:
        self.acts: list[Callable[[], None]] = []

    def __call__(self, seconds: float, act: Callable[[], None]) -> "FakeTimers":
        self.acts.append(act)
        return self

    def cancel(self) -> None:
        self.acts.clear()

    def go_off(self) -> None:
        for act in list(self.acts):
            act()


@dataclass
class Bench:
    """Everything a claim test may turn: what the card gives, what lies on the glass, who works here."""

    folder: Path
    counter: Counter
    clock: StillClock
    matcher: FakeMatcher
    database: Database
    outbox: Outbox
    head_office: RecipientPrivateKey
    signer: SoftwareSigner
    timers: FakeTimers = field(default_factory=FakeTimers)
    cards: list[CardRecord | DeviceError] = field(default_factory=list)
    passports: list[PassportRecord | DeviceError] = field(default_factory=list)
    seen_passports: list[PassportRecord] = field(default_factory=list)
    keys: list[MrzKey] = field(default_factory=list)
    glass: list[FingerImage | PlaceAgain | DeviceError] = field(default_factory=list)
    seen_cards: list[CardRecord] = field(default_factory=list)
    seen_pictures: list[FingerImage] = field(default_factory=list)
    prompts: list[FingerPrompt] = field(default_factory=list)
    enrolled: Site | None = None
    """Who the machine is."""
    _desk: ClaimDesk | None = None

    @property
    def desk(self) -> ClaimDesk:
        if self._desk is None:
            self._desk = ClaimDesk(self.counter, self.timers)
        return self._desk

    def restart(self) -> None:
        """The program dies and starts again: memory is gone, the disk stays."""
        self._desk = None

    def enrol_again(self, device_id: str = "dev-uji-2") -> None:
        """The machine becomes another device, as ``mpos-agent enrol --again`` makes it."""
        assert self.enrolled is not None
        self.enrolled = replace(self.enrolled, device_id=device_id, branch_code="ZZ02")
        self.outbox.take_up(device_id)

    def start(self, **choices: Any) -> ClaimSession:
        """A claim that opens."""
        chosen: dict[str, Any] = {
            "operator_id": "op1",
            "programme": "JHT",
            "reason": "RESIGN",
            "segment": Segment.PU,
        }
        claim = self.desk.start(**{**chosen, **choices})
        assert isinstance(claim, ClaimSession), claim
        return claim

    def identified(self, **choices: Any) -> ClaimSession:
        """A claim whose card was read."""
        claim = self.start(**choices)
        claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
        if not self.cards:
            self.cards.append(card())
        claim.read_card()
        return claim

    def verified(self, **choices: Any) -> ClaimSession:
        """A claim whose finger matched."""
        claim = self.identified(**choices)
        self.glass.append(picture(RIGHT))
        claim.capture_finger()
        return claim

    def filled(self, **choices: Any) -> ClaimSession:
        """A claim ready to be confirmed."""
        claim = self.verified(**choices)
        claim.photo_check(PhotoCompare.SAME)
        claim.documents([{"type": "KPJ_CARD"}, {"type": "PAKLARING"}])
        fields = dict(FORM)
        if choices.get("relation", Relation.SELF) is not Relation.SELF:
            fields["worker"] = WORKER
        outcome = claim.form(fields)
        assert outcome.accepted, outcome.blocks
        return claim

    def packets(self) -> list[ClaimPacket]:
        """The claims head office would read out of the queue."""
        return [wire.decode(packet) for packet in self._sent(Lane.CORE)]

    def parts(self) -> list[DocumentPart]:
        """The document parts head office would read out of the queue, in order."""
        return [document_part.decode(packet) for packet in self._sent(Lane.DOCUMENTS)]

    def _sent(self, lane: Lane) -> list[bytes]:
        rows = self.database.read("SELECT bytes FROM outbox_envelopes ORDER BY id")
        opened = [verify(bytes(row[0]), self.signer.public_key) for row in rows]
        return [open_envelope(one, self.head_office) for one in opened if one.header.lane is lane]

    def acts(self, claim_id: str | None = None) -> list[str]:
        """Acts of the audit log, oldest first."""
        return [row.act for row in self.counter.audit.rows(claim_id=claim_id)]

    def leftovers(self) -> list[str]:
        """Everything biometric that is not wiped."""
        found = [f"template of card {n}" for n, record in enumerate(self.seen_cards) if _any_left(record)]
        faces = [record.face for record in self.seen_passports if record.face is not None]
        found += [f"face {n}" for n, face in enumerate(faces) if any(bytes(face.content.view()))]
        found += [f"picture {n}" for n, image in enumerate(self.seen_pictures) if image.pixels.any()]
        found += [f"minutiae {n}" for n, made in enumerate(self.matcher.made) if made.x.any() or made.y.any()]
        return found


def _any_left(record: CardRecord) -> bool:
    return any(any(bytes(template.view())) for template in (*record.templates, record.signature_image))


FORM: dict[str, Any] = {
    "nik": NIK,
    "kpj": "99ZZ0000001",
    "npp": "ZZ0Z0001",
    "company_name": "PT CONTOH UJI",
    "phone": "080000000001",
    "mother_name": "PESERTA UJI DUA",
    "employment_history": [{"year_in": 2015, "year_out": 2026, "employer": "PT CONTOH UJI"}],
    "bank": {"code": "999", "account": "0000000001", "name_on_account": "Peserta Uji Satu"},
}
WORKER: dict[str, Any] = {
    "nik": OTHER_NIK,
    "name": "PESERTA UJI DUA",
    "birth_place": "KOTA UJI",
    "birth_date": "1990-03-02",
    "sex": "MALE",
}
SITE = Site(
    device_id="dev-uji-1",
    branch_code="ZZ01",
    kanwil_code="DKI",
    partner_code=None,
    site_type=SiteType.BRANCH,
    zone=TimeZone.WIB,
    station="Loket 1",
)


@contextlib.contextmanager
def bench(folder: Path, *, site: Site | None = SITE, tables: Tables | None = None, **policy: Any) -> Iterator[Bench]:
    """A counter with its database in ``folder``; policy values by name."""
    tables = tables or load_tables()
    clock, matcher, real = StillClock(), FakeMatcher(), SystemClock()
    with Database(folder / "agent.db") as database:
        # One pass over 8 kB: the hash is not what is tested here.
        people = People(database, clock, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        people.add("op1", PIN, [Role.OPERATOR])
        people.add("sup1", SUPERVISOR_PIN, [Role.SUPERVISOR])
        head_office, signer = _keys()
        outbox = Outbox(database, real)
        head_office_time = HeadOfficeTime(database, real)
        draft_key = DraftKey.create_or_load(folder / "draft.key")
        made: list[Bench] = []

        def read_card(progress: CardProgress, stop: threading.Event) -> CardRecord:
            progress(ReadStep.OPEN_SAM)
            given = made[0].cards.pop(0)
            if isinstance(given, DeviceError):
                raise given
            made[0].seen_cards.append(given)
            return given

        def capture(prompt: FingerPrompt, timeout_s: float, stop: threading.Event) -> FingerImage | PlaceAgain:
            made[0].prompts.append(prompt)
            clock.pass_time(1.5)
            given = made[0].glass.pop(0)
            if isinstance(given, DeviceError):
                raise given
            if isinstance(given, FingerImage):
                made[0].seen_pictures.append(given)
            return given

        def read_passport(key: MrzKey, progress: PassportProgress, stop: threading.Event) -> PassportRecord:
            progress(PassportStep.SELECT)
            made[0].keys.append(key)
            given = made[0].passports.pop(0)
            if isinstance(given, DeviceError):
                raise given
            made[0].seen_passports.append(given)
            return given

        def enrolled() -> Site | None:
            return made[0].enrolled

        def sealer() -> Sealer:
            assert made[0].enrolled is not None
            return Sealer(made[0].enrolled.device_id, signer, [head_office.public], head_office_time)

        counter = Counter(
            read_card=read_card,
            read_passport=read_passport,
            capture=capture,
            matcher=matcher,
            store=DraftStore(database, draft_key),
            documents=DocumentStore(database, draft_key),
            audit=AuditLog(database, clock),
            people=people,
            outbox_put=queue_into(outbox, sealer),
            part_put=part_into(outbox, sealer),
            claim_row=state_in(outbox),
            site=enrolled,
            clock=clock,
            tables=tables,
            policy=Policy.of(tables.policy, **{"accept_test_identities": True, **policy}),
            agent_version="0.1.0",
            random=secrets.token_bytes,
        )
        made.append(
            Bench(
                folder=folder,
                counter=counter,
                clock=clock,
                matcher=matcher,
                database=database,
                outbox=outbox,
                head_office=head_office,
                signer=signer,
                enrolled=site,
            )
        )
        yield made[0]


_KEYS: list[tuple[RecipientPrivateKey, SoftwareSigner]] = []


def _keys() -> tuple[RecipientPrivateKey, SoftwareSigner]:
    """Made once: they are not what is tested here."""
    if not _KEYS:
        _KEYS.append((RecipientPrivateKey.generate(Suite.X25519), SoftwareSigner(Ed25519PrivateKey.generate())))
    return _KEYS[0]


def queued_nothing(_: ClaimPacket) -> Queued:
    """An outbox that fails."""
    raise RuntimeError("the power went")
