"""A claim that was begun under one enrolment of the machine and confirmed under the next."""

import dataclasses
from pathlib import Path

import pytest

from mpos_agent.claim.states import State
from mpos_agent.claim.steps.supplement import Paper
from mpos_agent.errors import FormerEnrolmentError, IdentityChangedError
from mpos_agent.outcomes import outcome_of
from sync.envelope import Lane, read_header
from sync.errors import StorageFullError
from tests.claim.desk import SITE, Bench, bench
from tests.claim.scans import png
from tests.claim.test_documents_of_a_claim import LETTER, boxes, content_of, with_letter

OTHER = dataclasses.replace(SITE, device_id="dev-uji-2", branch_code="ZZ02")


def outside(at: Bench, lane: Lane = Lane.CORE) -> list[str]:
    """Whose signature each packet of a lane has."""
    envelopes = at.database.read("SELECT bytes FROM outbox_envelopes ORDER BY id")
    headers = [read_header(bytes(row[0])) for row in envelopes]
    return [header.device_id for header in headers if header.lane is lane]


def test_a_claim_under_way_is_sealed_as_the_new_device(at_counter: Bench) -> None:
    """Inside and outside name the same device, and the same branch: head office opens nothing else."""
    claim = with_letter(at_counter)
    at_counter.enrol_again()
    assert claim.confirm(member_confirms=True).state is State.QUEUED
    (packet,) = at_counter.packets()
    assert (packet.device_id, packet.branch_code) == ("dev-uji-2", "ZZ02")
    assert outside(at_counter) == ["dev-uji-2"]
    assert {part.device_id for part in at_counter.parts()} == set(outside(at_counter, Lane.DOCUMENTS)) == {"dev-uji-2"}
    assert content_of(at_counter.parts()) == LETTER


def test_a_claim_taken_up_again_after_a_restart_is_sealed_as_the_new_device(tmp_path: Path) -> None:
    """Begun, the machine switched off, enrolled anew, and finished the next day."""
    with bench(tmp_path) as at:
        claim_id = with_letter(at).claim_id
        at.enrol_again()
    with bench(tmp_path, site=OTHER) as at:
        claim = at.desk.resume(claim_id)
        assert claim.confirm(member_confirms=True).state is State.QUEUED
        assert [packet.device_id for packet in at.packets()] == outside(at) == ["dev-uji-2"]
        assert content_of(at.parts()) == LETTER


def test_enrolled_anew_in_the_middle_of_the_seal_the_claim_is_refused_and_whole(at_counter: Bench) -> None:
    """The packet was made for the device before: nothing is queued, cause and cure are said, the next try goes."""
    claim = with_letter(at_counter)
    put = at_counter.counter.outbox_put

    def enrolled_just_before(packet: object) -> object:
        at_counter.enrol_again()
        return put(packet)  # type: ignore[arg-type]

    object.__setattr__(at_counter.counter, "outbox_put", enrolled_just_before)
    with pytest.raises(IdentityChangedError) as caught:
        claim.confirm(member_confirms=True)
    told = outcome_of(caught.value)
    assert "konfirmasi sekali lagi" in told.text_id
    assert told.retryable
    assert (claim.state, at_counter.packets(), outside(at_counter)) == (State.FILLED, [], [])
    object.__setattr__(at_counter.counter, "outbox_put", put)
    claim.confirm(member_confirms=True)
    assert [packet.device_id for packet in at_counter.packets()] == outside(at_counter) == ["dev-uji-2"]


def test_documents_of_a_claim_of_the_former_device_are_not_sent_as_another(at_counter: Bench) -> None:
    """The disk was full when it was confirmed: head office would never join them. With that identity back they go."""
    claim = with_letter(at_counter)
    put = at_counter.counter.part_put

    def full(_: object) -> None:
        raise StorageFullError("agent.db", "write")

    object.__setattr__(at_counter.counter, "part_put", full)
    claim.confirm(member_confirms=True)
    object.__setattr__(at_counter.counter, "part_put", put)
    assert at_counter.desk.unqueued_parts() == boxes(at_counter) == 3
    at_counter.enrol_again()
    at_counter.desk.pack()
    assert (at_counter.parts(), boxes(at_counter)) == ([], 3)
    at_counter.enrol_again(SITE.device_id)
    at_counter.desk.pack()
    assert content_of(at_counter.parts()) == LETTER
    assert boxes(at_counter) == 0


def test_a_claim_of_the_former_device_takes_no_supplement(at_counter: Bench) -> None:
    """Head office joins documents to claims of the same device only: refused with the way out, nothing kept."""
    claim = with_letter(at_counter)
    claim.confirm(member_confirms=True)
    at_counter.enrol_again()
    with pytest.raises(FormerEnrolmentError) as caught:
        at_counter.desk.supplement(
            claim.claim_id, operator_id="op1", paper=Paper(type_code="KK", legible=True), content=png()
        )
    assert "serahkan dokumennya" in outcome_of(caught.value).text_id
    assert boxes(at_counter) == 0
