"""What the agent tells → the typed replies of the local API."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from config.schema import Language, Zone
from config.tables import Requirement, Tables, Text
from drivers.scanner.base import ScannerInfo
from mpos_agent import __version__
from mpos_agent.agent import Agent, DeviceReport, QueueCounts, SentDocument
from mpos_agent.api.messages import (
    AnswerReply,
    AskedReply,
    DecisionReply,
    DevicesReply,
    EnrolReply,
    ErrorBody,
    Finding,
    FrozenReply,
    IdentityReply,
    NewEpochReply,
    OutboxReply,
    OutboxRowReply,
    PersonReply,
    QueueReply,
    ScannerFound,
    SentDocumentReply,
    SignInReply,
    SiteReply,
    SlipReply,
    StartReply,
    StatusReply,
    StepReply,
    StorageReply,
    SupplementReply,
    SyncReply,
)
from mpos_agent.claim.counter import Site
from mpos_agent.claim.draft_store import Captured
from mpos_agent.claim.findings import Told
from mpos_agent.claim.happened import Refused, StepOutcome
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim_answers import ClaimAnswer
from mpos_agent.errors import StorageLowError
from mpos_agent.identity_keeper import IdentityReport
from mpos_agent.outcomes import Outcome, outcome_of
from mpos_agent.people import Person
from mpos_agent.queue_keeper import numbers_of
from mpos_agent.sync_worker import LastRound
from sync.edge.marks import Room
from sync.edge.outbox import NewChain
from sync.edge.outbox_row import OutboxRow
from sync.errors import DeviceKeyError, IdentityError, SyncError

_WORDS = ("field", "npwp", "outcome", "photo", "state")
"""Groups of the texts that translate a code of ours for people."""


def status(agent: Agent) -> StatusReply:
    """Everything a technician asks first."""
    station, denied = agent.station, agent.denied()
    where: Site | None = None
    report: IdentityReport | None = None
    problem: SyncError | None = None
    try:
        where, report = agent.site, agent.identity()
    except (DeviceKeyError, IdentityError) as error:
        # A token pulled out must not hide the rest.
        problem = error
    return StatusReply(
        version=__version__,
        started_at=agent.started_at,
        device_id=where.device_id if where else None,
        site=site(where) if where else None,
        station=station.name,
        zone=Zone(station.zone),
        language=Language(station.language),
        clock_trusted=agent.clock_trusted,
        identity=None if report is None else identity(report),
        identity_problem=_problem(problem),
        denied=None if denied is None else denied.reason,
        open_claims=len(agent.open_claims()),
        damage=tuple(_error_body(one) for one in agent.damage()),
        queue=queue(agent.queue()),
        storage=storage(agent.room()),
        frozen=frozen(agent),
        asking=len(agent.asking()),
        sync=last_round(agent.last_round(), agent.now()),
        devices=devices(agent.devices()),
    )


def storage(room: Room) -> StorageReply:
    """Room on the disk."""
    low = None if room.takes_claims else StorageLowError(numbers_of(room))
    return StorageReply(
        mark=room.mark,
        free_bytes=room.free_bytes,
        queue_bytes=room.queue_bytes,
        reserve=room.reserve,
        problem=_problem(low),
    )


def new_epoch(begun: NewChain) -> NewEpochReply:
    """A chain that ended, and what follows it."""
    return NewEpochReply(
        lane=begun.lane,
        ended=begun.ended.hex(),
        begun=begun.begun.hex(),
        last_seq=begun.last_seq,
        still_waiting=begun.still_ready,
    )


def identity(report: IdentityReport) -> IdentityReply:
    """This device's identity."""
    facts = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    return IdentityReply(**{**facts, "problem": _problem(report.problem)})


def devices(report: DeviceReport) -> DevicesReply:
    """Readers and scanners."""
    return DevicesReply(
        transport=report.transport,
        readers=report.readers,
        card_reader=report.card.card_reader,
        sam_reader=report.card.sam_reader,
        card_present=report.card_present,
        card_problem=_problem(report.card.problem),
        sam_problem=_problem(report.card.problem or report.sam_problem),
        scanners=tuple(scanner(one) for one in report.scanners),
        scanner_problem=_problem(report.scanner_problem),
    )


def scanner(one: ScannerInfo) -> ScannerFound:
    """A scanner as it was found."""
    return ScannerFound(
        driver=one.driver,
        name=one.name,
        serial=one.serial,
        dpi=one.dpi,
        path=one.path,
        state=one.state.value,
        calibration=one.calibration,
    )


def queue(counts: QueueCounts) -> QueueReply:
    """The four numbers and the oldest age."""
    return QueueReply(
        waiting=counts.waiting,
        accepted=counts.accepted,
        held=counts.held,
        refused=counts.refused,
        oldest_waiting_s=counts.oldest_waiting_s,
    )


def outbox(agent: Agent, most: int) -> OutboxReply:
    """The queue with its rows, and what head office said of claims in it."""
    return OutboxReply(
        **queue(agent.queue()).model_dump(),
        rows=tuple(outbox_row(row, agent) for row in agent.outbox_rows(most)),
        frozen=frozen(agent),
        asking=tuple(answer(one, agent) for one in agent.asking()),
    )


def frozen(agent: Agent) -> tuple[FrozenReply, ...]:
    """Lanes head office has frozen."""
    return tuple(FrozenReply(lane=one.lane.value, reason=one.reason, since=one.since) for one in agent.frozen())


def answer(said: ClaimAnswer, agent: Agent) -> AnswerReply:
    """Head office's words on one claim."""
    asked, decided = said.asked, said.decided
    return AnswerReply(
        claim_id=said.claim_id,
        asked=AskedReply(
            documents=asked.documents,
            still=agent.still_asked(said),
            note=asked.note,
            asked_at=asked.asked_at,
            until=asked.until,
        )
        if asked
        else None,
        decided=DecisionReply(
            status=decided.status.value,
            agenda_no=decided.agenda_no,
            reason_code=decided.reason_code,
            reason=decided.reason,
            decided_at=decided.decided_at,
        )
        if decided
        else None,
    )


def outbox_row(row: OutboxRow, agent: Agent) -> OutboxRowReply:
    """The label of one packet."""
    said = agent.answer(str(row.packet_id))
    waiting = row.state.value == "READY"
    return OutboxRowReply(
        packet_id=str(row.packet_id),
        lane=row.lane.value,
        seq=row.seq,
        state=row.state.value,
        size_bytes=row.size,
        digest=row.digest.hex(),
        queued_at=row.queued_at,
        attempts=row.attempts,
        next_attempt_at=row.next_at if waiting else None,
        last_error=row.last_error,
        verdict=row.verdict.value if row.verdict else None,
        reason=row.reason,
        receipt_no=row.receipt_no,
        acked_at=row.acked_at,
        answer=answer(said, agent) if said else None,
    )


def last_round(last: LastRound, now: datetime.datetime) -> SyncReply:
    """What the last round came to."""
    return SyncReply(
        at=last.at,
        result=last.outcome.value if last.outcome else None,
        problem=_error_body(last.problem) if last.problem else None,
        sent=last.sent,
        accepted=last.accepted,
        held=last.held,
        left=last.left,
        next_round_s=max(0.0, (last.next_at - now).total_seconds()) if last.next_at else None,
    )


def site(where: Site) -> SiteReply:
    """Where the device stands."""
    return SiteReply(
        branch_code=where.branch_code,
        kanwil_code=where.kanwil_code,
        partner_code=where.partner_code,
        site_type=where.site_type.value,
    )


def enrolled(where: Site) -> EnrolReply:
    """Who the device is from now on."""
    return EnrolReply(device_id=where.device_id, site=site(where))


def person(one: Person) -> PersonReply:
    """Somebody who may sign in."""
    return PersonReply(person_id=one.person_id, name=one.name, roles=one.roles)


def slip(captured: Captured, row: OutboxRow | None, agent: Agent) -> SlipReply:
    """The slip of a queued claim with what head office has said of it so far."""
    return SlipReply(
        claim_id=captured.claim_id,
        reference=captured.reference,
        slip=captured.slip,
        packet=outbox_row(row, agent) if row else None,
    )


def signed_in(token: str, one: Person, idle_s: float) -> SignInReply:
    """The token of a sign-in."""
    return SignInReply(operator=token, person_id=one.person_id, name=one.name, roles=one.roles, idle_s=idle_s)


def supplement(done: tuple[Told, ...] | dict[str, Any]) -> SupplementReply:
    """A document that was added to a claim, or what blocks it."""
    if isinstance(done, dict):
        return SupplementReply(accepted=True, blocks=(), document=done)
    blocks = tuple(Finding.model_validate(told.as_json()) for told in done)
    return SupplementReply(accepted=False, blocks=blocks, document=None)


def sent_document(one: SentDocument) -> SentDocumentReply:
    """One document of a claim that was sent."""
    return SentDocumentReply(
        index=one.sent.index,
        type=one.sent.type_code,
        size_bytes=one.sent.size_bytes,
        parts=one.sent.parts,
        parts_queued=one.queued,
        parts_accepted=one.accepted,
        parts_held=one.held,
        parts_refused=one.refused,
    )


def step(outcome: StepOutcome) -> StepReply:
    """What came of one step."""
    return StepReply.model_validate(outcome.as_json())


def started(opened: ClaimSession | Refused) -> StartReply:
    """An open claim, or what keeps it from being one."""
    if isinstance(opened, ClaimSession):
        return StartReply(
            accepted=True,
            claim_id=opened.claim_id,
            claim=opened.view(),
            blocks=(),
            elsewhere_id=None,
            elsewhere_en=None,
        )
    where = opened.elsewhere
    return StartReply(
        accepted=False,
        claim_id=None,
        claim=None,
        blocks=tuple(Finding.model_validate(told.as_json()) for told in opened.blocks),
        elsewhere_id=where.id if where else None,
        elsewhere_en=where.en if where else None,
    )


def tables(content: Tables) -> dict[str, Any]:
    """Codes and texts a form needs: programmes, reasons with their documents, fallback codes, consent notice."""
    return {
        "version": content.version,
        "programmes": [
            {"code": row.code, **_named(row.name), "elsewhere": _named(row.elsewhere) if row.elsewhere else None}
            for row in content.programmes.values()
        ],
        "reasons": [
            {
                "code": row.code,
                **_named(row.name),
                "programmes": list(row.programmes),
                "segments": list(row.segments),
                "heirs_only": row.heirs_only,
                "requires": _requirements(row.requires),
            }
            for row in content.reasons.values()
        ],
        "documents": [{"code": row.code, **_named(row.name)} for row in content.documents.values()],
        "always_required": _requirements(content.always_required),
        "fallbacks": [
            {"code": row.code, **_named(row.name), "reasons": list(row.reasons)} for row in content.fallbacks.values()
        ],
        "fallback_reasons": [{"code": row.code, **_named(row.name)} for row in content.fallback_reasons.values()],
        "words": {group: _words(content, group) for group in _WORDS},
        "banks": [{"code": row.code, "name": row.name} for row in content.banks.values()],
        "consent": {
            "version": content.consent.version,
            "sha256": content.consent.sha256,
            "text_id": content.consent.text.id,
            "text_en": content.consent.text.en,
        },
    }


def _requirements(rows: Sequence[Requirement]) -> list[dict[str, Any]]:
    return [{"any_of": list(row.any_of), "segments": list(row.segments), "mandatory": row.mandatory} for row in rows]


def _words(content: Tables, group: str) -> dict[str, dict[str, str]]:
    prefix = f"{group}."
    return {key.removeprefix(prefix): _named(text) for key, text in content.texts.items() if key.startswith(prefix)}


def _named(text: Text) -> dict[str, str]:
    return {"name_id": text.id, "name_en": text.en}


def _problem(error: Exception | None) -> ErrorBody | None:
    return None if error is None else _error_body(outcome_of(error))


def _error_body(outcome: Outcome) -> ErrorBody:
    return ErrorBody.model_validate(outcome.as_json())
