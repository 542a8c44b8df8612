"""A finished draft → a claim packet → a signed, encrypted envelope → a row of the outbox."""

import datetime
from collections.abc import Callable
from uuid import UUID

from mpos_agent.claim.counter import Counter, Queued, Site
from mpos_agent.claim.document_store import Promised
from mpos_agent.claim.draft import ClaimDraft
from mpos_agent.claim.draft import Person as DraftPerson
from mpos_agent.claim.findings import Caution
from mpos_agent.errors import IdentityChangedError
from sync.document_part import DocumentPart, packet_id
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import RowState
from sync.edge.sealing import Sealer
from sync.envelope import Lane
from sync.packet import (
    Attempt,
    Bank,
    Bio,
    ChipAuth,
    ClaimPacket,
    ClockTrust,
    Consent,
    Contact,
    Declaration,
    Document,
    Employment,
    Fallback,
    IdentitySource,
    Modality,
    Npwp,
    Person,
    PhotoFace,
    PhotoMime,
    Programme,
)
from sync.records import milliseconds


def packet_of(
    draft: ClaimDraft,
    counter: Counter,
    site: Site,
    *,
    declaration: Declaration,
    at: datetime.datetime,
    audit_head: bytes,
    photo: bytes | None,
) -> ClaimPacket:
    """Everything head office learns. The claim's id is the packet's: sealing twice makes the same claim.

    Raises PacketError when the draft holds something the packet does not take: a bug of ours, because the
    steps check first.
    """
    form, bio, fallback, consent = draft.form, draft.bio, draft.fallback, draft.consent
    assert draft.claimant is not None, "identified"
    assert draft.identity_source is not None, "identified"
    assert form is not None, "filled"
    assert bio is not None, "verified or countersigned"
    assert consent is not None, "asked"
    chip = draft.chip if draft.identity_source is IdentitySource.CHIP else None
    warnings = set(draft.warnings)
    if draft.worker is not draft.claimant:
        warnings.add(Caution.HEIR)
    if not counter.clock.trusted:
        warnings.add(Caution.CLOCK_DOUBTFUL)
    return ClaimPacket(
        packet_id=UUID(draft.claim_id),
        purpose=draft.purpose,
        device_id=site.device_id,
        branch_code=site.branch_code,
        kanwil_code=site.kanwil_code,
        partner_code=site.partner_code,
        site_type=site.site_type,
        operator_id=draft.operator_id,
        supervisor_id=fallback.supervisor_id if fallback else None,
        captured_at=at,
        tz=site.zone,
        clock_trust=ClockTrust.TRUSTED if counter.clock.trusted else ClockTrust.DOUBTFUL,
        programme=Programme(draft.programme),
        reason_code=draft.reason_code,
        segment=draft.segment,
        relation=draft.relation,
        claimant=_person(draft.claimant),
        worker=_person(form.worker) if form.worker else None,
        identity_source=draft.identity_source,
        reader_serial=chip.reader[:100] if chip else None,
        sam_id=chip.sam_id[:64] or None if chip else None,
        chip_auth=_chip_auth(draft),
        data_signature=chip.data_signature[:8] or None if chip else None,
        kpj=form.kpj,
        npp=form.npp,
        company_name=form.company_name,
        na_code_declared=form.na_code_declared,
        bio=Bio(
            modality=Modality.FINGER if draft.attempts else Modality.NONE,
            finger_position=bio.finger,
            attempts=tuple(
                Attempt(finger=tried.finger, quality=tried.quality, outcome=tried.outcome, ms=tried.ms)
                for tried in draft.attempts
            ),
            outcome=bio.outcome,
            score_band=bio.score_band,
            threshold_id=bio.threshold_id,
            paired_minutiae=bio.paired_minutiae,
            matcher_version=bio.matcher_version,
            parameter_digest=bio.parameter_digest,
        ),
        fallback=Fallback(
            code=fallback.code.value, reason=fallback.reason, pending_supervisor=fallback.supervisor_id is None
        )
        if fallback
        else None,
        photo_compare=fallback.photo_compare if fallback else draft.photo_check,
        photo_face=PhotoFace(mime=PhotoMime.JPEG, content=photo, retention_days=counter.policy.photo_retention_days)
        if photo and counter.policy.send_chip_photo
        else None,
        consent=Consent(
            text_version=consent.text_version,
            hash=bytes.fromhex(consent.text_sha256),
            basis=consent.basis,
            given=consent.given,
            method=consent.method,
            at=consent.at,
        ),
        contact=Contact(phone=form.phone, email=form.email),
        mother_name=form.mother_name,
        employment_history=tuple(
            Employment(
                year_in=line.year_in, year_out=line.year_out, employer=line.employer, address=line.address or None
            )
            for line in form.employment_history
        ),
        npwp=Npwp(answer=form.npwp_answer, number=form.npwp),
        bank=Bank(
            code=form.bank.bank_code,
            account=form.bank.account,
            name_on_account=form.bank.name_on_account,
            name_match=form.bank.name_match,
        )
        if form.bank
        else None,
        documents=tuple(
            Document(
                type_code=document.type,
                pages=document.pages,
                mime=document.mime,
                size_bytes=document.size_bytes,
                sha256=bytes.fromhex(document.sha256) if document.sha256 else None,
                legible=document.legible,
            )
            for document in draft.documents
        ),
        missing_documents=draft.missing_documents,
        declaration=declaration,
        warnings=tuple(sorted(warnings)),
        audit_head=audit_head,
        tables_version=draft.tables_version,
        agent_version=counter.agent_version,
    )


def _chip_auth(draft: ClaimDraft) -> ChipAuth:
    """Of the card that was used; a chip that failed to prove itself is recorded as that, never as false."""
    if draft.identity_source is IdentitySource.CHIP and draft.chip is not None:
        return draft.chip.chip_auth
    return ChipAuth.FAIL if "chip_authentication" in draft.failed_taps else ChipAuth.NONE


def _person(person: DraftPerson) -> Person:
    return Person(
        nik=person.nik,
        identity_no=person.identity_no,
        name=person.name,
        birth_place=person.birth_place or None,
        birth_date=person.birth_date,
        sex=person.sex,
        address=person.address or None,
        nationality=person.nationality or None,
    )


def promised_of(draft: ClaimDraft) -> list[Promised]:
    """What is to be sent after the packet: every listed document with a scanned file, by its place in the list."""
    files = {one.number: one for one in draft.attachments}
    return [
        Promised(
            index=place,
            box=files[document.attachment].box,
            type_code=document.type,
            media_type=files[document.attachment].media_type,
            pages=document.pages,
            legible=document.legible,
            operator_id=draft.operator_id,
            attached_at_ms=milliseconds(files[document.attachment].attached_at),
            size_bytes=document.size_bytes,
            sha256=files[document.attachment].sha256,
        )
        for place, document in enumerate(draft.documents)
        if document.attachment is not None
    ]


def part_into(outbox: Outbox, sealer: Callable[[], Sealer]) -> Callable[[DocumentPart], None]:
    """What :attr:`Counter.part_put` is on a real device: seal into the next place of the documents lane."""

    def put(part: DocumentPart) -> None:
        name = packet_id(part.claim_id, part.index, part.part)
        outbox.put(name, Lane.DOCUMENTS, _as(part.device_id, sealer()).sealed(part.encode()))

    return put


def state_in(outbox: Outbox) -> Callable[[UUID], RowState | None]:
    """What :attr:`Counter.claim_row` is on a real device."""

    def state(claim_id: UUID) -> RowState | None:
        row = outbox.find(claim_id)
        return None if row is None else row.state

    return state


def queue_into(outbox: Outbox, sealer: Callable[[], Sealer]) -> Callable[[ClaimPacket], Queued]:
    """What :attr:`Counter.outbox_put` is on a real device: seal into the next place of the core lane."""

    def put(packet: ClaimPacket) -> Queued:
        row = outbox.put(packet.packet_id, Lane.CORE, _as(packet.device_id, sealer()).sealed(packet.encode()))
        return Queued(
            packet_id=str(packet.packet_id), lane=row.lane.value, seq=row.seq, size_bytes=row.size, digest=row.digest
        )

    return put


def _as(device_id: str, sealer: Sealer) -> Sealer:
    """The sealer of the device a packet names inside: head office opens none that another one has signed.

    Raises IdentityChangedError where the machine was enrolled anew since the packet was made.
    """
    if sealer.device_id != device_id:
        raise IdentityChangedError(f"made as {device_id}, to be sealed as {sealer.device_id}")
    return sealer
