"""Operator picks programme and reason, the claimant's relation to the worker: does it fit together?"""

from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import ClaimDraft
from mpos_agent.claim.findings import Block, Caution, Found, cautions
from mpos_agent.claim.states import State
from mpos_agent.people import Role
from sync.packet import Purpose, Relation, Segment, new_packet_id


def run(
    counter: Counter,
    *,
    operator_id: str,
    programme: str,
    reason: str,
    segment: Segment,
    relation: Relation,
    ticket: str | None,
    purpose: Purpose,
) -> tuple[ClaimDraft, list[Found]]:
    """A new draft and what was found; with a block among the findings the draft is not to be used."""
    found = _operator(counter, operator_id) + _fit(counter, programme, reason, segment=segment, relation=relation)
    now = counter.clock.now()
    draft = ClaimDraft(
        claim_id=str(new_packet_id(int(now.timestamp() * 1000), counter.random(10))),
        revision=0,
        state=State.DRAFT,
        opened_at=now,
        operator_id=operator_id,
        tables_version=counter.tables.version,
        programme=programme,
        reason_code=reason,
        segment=segment,
        relation=relation,
        purpose=purpose,
        ticket=ticket[:40] if ticket else None,
        warnings=tuple(sorted(cautions(found))),
    )
    return draft, found


def _operator(counter: Counter, operator_id: str) -> list[Found]:
    person = counter.people.find(operator_id)
    if person is None or person.person_id != operator_id or not person.may(Role.OPERATOR):
        return [Found(Block.OPERATOR_UNKNOWN, "operator_id")]
    return []


def _fit(counter: Counter, programme: str, reason: str, *, segment: Segment, relation: Relation) -> list[Found]:
    known = counter.tables.programmes.get(programme)
    if known is None:
        return [Found(Block.PROGRAMME_UNKNOWN, "programme")]
    if known.elsewhere is not None:
        return [Found(Block.PROGRAMME_ELSEWHERE, "programme")]
    row = counter.tables.reasons.get(reason)
    if row is None:
        return [Found(Block.REASON_UNKNOWN, "reason")]
    found = []
    if programme not in row.programmes:
        found.append(Found(Block.REASON_NOT_OF_PROGRAMME, "reason"))
    # The dead do not claim; somebody else claims only for the dead, or as a guardian.
    if row.heirs_only and relation is Relation.SELF:
        found.append(Found(Block.DEATH_NEEDS_HEIR, "relation"))
    if relation not in (Relation.SELF, Relation.GUARDIAN) and not row.heirs_only:
        found.append(Found(Block.RELATION_NEEDS_DEATH_OR_GUARDIAN, "relation"))
    if row.segments and segment not in row.segments:
        found.append(Found(Caution.REASON_NOT_OF_SEGMENT, "segment"))
    return found
