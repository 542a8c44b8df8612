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
        (replace(CLEAN, waiting=[Held(place(3), digest(3))]), Fault.NOT_DRAINED),
    ],
)  # fmt: skip
def test_each_kind_of_planted_fault_is_found(planted: History, fault: Fault) -> None:
    """One fault is planted in the clean history; it is among those found."""
    assert fault in faults(planted)
