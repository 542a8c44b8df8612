"""The judge itself: a clean history passes, and each kind of fault that is planted is found and named."""

from dataclasses import replace

import pytest

from bench.faults.history import Captured, Fault, Held, History, Place, Settled, violations


def place(seq: int, lane: str = "core") -> Place:
    return Place("dev", lane, bytes(16), seq)


def digest(seq: int) -> bytes:
    return bytes([seq]) * 32


CAPTURED = [Captured(f"p{seq}", place(seq), digest(seq)) for seq in (1, 2, 3)]
STORED = [Held(place(seq), digest(seq), number=seq) for seq in (1, 2, 3)]
CLEAN = History(
    captured=CAPTURED,
    promised=frozenset(digest(seq) for seq in (1, 2, 3)),
    acknowledged=frozenset(digest(seq) for seq in (1, 2)),
    waiting=[],
    stored=STORED,
    settled=[Settled(place(1), digest(1), proved=True)],
)


def faults(history: History) -> set[Fault]:
    return {violation.fault for violation in violations(history)}


def test_a_clean_history_has_no_fault() -> None:
    """Everything stored once, in order, the purged one against its receipt."""
    assert violations(CLEAN) == []


def test_what_still_waits_while_faults_go_on_is_no_fault() -> None:
    """A packet in the queue is as safe as a stored one, until the queue should have drained."""
    busy = replace(CLEAN, stored=STORED[:2], waiting=[Held(place(3), digest(3))], drained=False)
    assert violations(busy) == []
    assert faults(replace(busy, drained=True)) == {Fault.NOT_DRAINED}


def test_a_fork_set_aside_beside_its_place_is_no_fault() -> None:
    """Two real packets may claim one place after a restore; both are kept."""
    aside = Held(place(2), digest(9), number=4, in_chain=False)
    forked = replace(CLEAN, captured=[*CAPTURED, Captured("p9", place(2), digest(9))], stored=[*STORED, aside])
    assert violations(forked) == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        (replace(CLEAN, stored=STORED[:2]), Fault.LOST),
        (replace(CLEAN, stored=STORED[:1], waiting=[Held(place(2), digest(2))], drained=False), Fault.LOST),
        (replace(CLEAN, stored=[*STORED, replace(STORED[2], number=4, in_chain=False)]), Fault.DOUBLED),
        (
            replace(
                CLEAN,
                captured=[*CAPTURED, Captured("p3", place(4), digest(4))],
                stored=[*STORED, Held(place(4), digest(4), number=4)],
            ),
            Fault.DOUBLED,
        ),
        (replace(CLEAN, stored=[*STORED[:2], Held(place(3), digest(8), number=3)]), Fault.CHANGED),
        (replace(CLEAN, stored=[*STORED, Held(place(4), digest(8), number=4)]), Fault.UNKNOWN),
        (replace(CLEAN, stored=[STORED[0], replace(STORED[1], number=3), replace(STORED[2], number=2)]),
         Fault.OUT_OF_ORDER),
        (replace(CLEAN, stored=[STORED[0], STORED[2]]), Fault.GAP),
        (replace(CLEAN, settled=[Settled(place(1), digest(1), proved=False)]), Fault.UNPROVED),
        (replace(CLEAN, settled=[Settled(place(2), digest(2), proved=False, kept=True)]), Fault.UNPROVED),
        (replace(CLEAN, stored=[*STORED, Held(place(1), digest(1), number=1, ledger="another")]), Fault.DOUBLED),
        (replace(CLEAN, waiting=[Held(place(3), digest(3))]), Fault.NOT_DRAINED),
    ],
)  # fmt: skip
def test_each_kind_of_planted_fault_is_found(planted: History, fault: Fault) -> None:
    """One fault is planted in the clean history; it is among those found."""
    assert fault in faults(planted)


# A ledger that was put back from a backup: the third packet went with it.

PUT_BACK = replace(CLEAN, stored=STORED[:2], undone=frozenset({digest(3)}), acknowledged=frozenset({digest(3)}))
STILL_THERE = replace(PUT_BACK, settled=[Settled(place(3), digest(3), proved=True, kept=True)])
PURGED = replace(PUT_BACK, settled=[Settled(place(3), digest(3), proved=True)])


def test_what_a_backup_has_undone_is_lost_unless_it_comes_again() -> None:
    """At the device it is safe while faults go on; when they are over it is stored again, or lost."""
    assert violations(replace(STILL_THERE, drained=False)) == []
    assert faults(STILL_THERE) == {Fault.LOST}
    assert violations(replace(STILL_THERE, stored=STORED)) == []


def test_what_its_device_has_purged_is_lost_unless_head_office_names_it() -> None:
    """Nobody can bring it again; that head office does not know is what may not be."""
    assert violations(replace(PURGED, drained=False)) == []
    assert faults(PURGED) == {Fault.LOST}
    assert violations(replace(PURGED, named_missing=frozenset({place(3)}))) == []
    assert faults(replace(PURGED, named_missing=frozenset({place(2)}))) == {Fault.LOST}


def test_without_a_backup_put_back_no_name_excuses_anything() -> None:
    """A packet that was acknowledged and is not stored is lost, whatever head office says of its place."""
    named = replace(PURGED, undone=frozenset(), named_missing=frozenset({place(3)}))
    assert faults(named) == {Fault.LOST}


def test_given_up_while_its_device_has_it_is_lost() -> None:
    """Also while faults go on: nobody asks for it any more."""
    given_up = replace(STILL_THERE, named_missing=frozenset({place(3)}), named_gone=frozenset({place(3)}))
    assert faults(replace(given_up, drained=False)) == {Fault.LOST}


def test_the_chain_goes_on_over_places_that_were_given_up() -> None:
    """Without that it has a gap."""
    went_on = replace(CLEAN, stored=[STORED[0], STORED[2]], undone=frozenset({digest(2)}), acknowledged=frozenset())
    purged = replace(went_on, settled=[Settled(place(2), digest(2), proved=True)], named_missing=frozenset({place(2)}))
    assert faults(purged) == {Fault.GAP}
    assert violations(replace(purged, named_gone=frozenset({place(2)}))) == []


def test_spoilt_bytes_are_evidence_and_their_packet_comes_late() -> None:
    """They stood in its place; the packet itself was stored after its successor. Taken for good they are a fault."""
    evidence = Held(place(2), digest(9), number=2, in_chain=False, spoilt=True)
    late = [STORED[0], evidence, replace(STORED[2], number=3), replace(STORED[1], number=4)]
    assert violations(replace(CLEAN, stored=late)) == []
    assert faults(replace(CLEAN, stored=[*STORED, replace(evidence, number=4, spoilt=False)])) == {Fault.CHANGED}


def test_the_order_counts_in_each_ledger_by_itself() -> None:
    """A device that moved has its first packets there under higher numbers than its later ones here."""
    moved = [replace(STORED[0], ledger="west", number=90), replace(STORED[1], ledger="east", number=1)]
    assert violations(replace(CLEAN, stored=[*moved, replace(STORED[2], ledger="east", number=2)])) == []
