"""Staff at this device: PINs, roles, lockout."""

import concurrent.futures
import datetime
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher

from mpos_agent.people import LOCKED_FOR, WRONG_PINS_ALLOWED, People, PersonError, Refusal, Role, may_countersign
from sync.edge.database import Database
from tests.claim.desk import PIN, StillClock

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def clock() -> StillClock:
    """A clock that stands still."""
    return StillClock()


@pytest.fixture
def people(tmp_path: Path, clock: StillClock) -> Iterator[People]:
    """One operator."""
    with Database(tmp_path / "agent.db") as database:
        people = People(database, clock, QUICK)
        people.add("op1", PIN, [Role.OPERATOR], "Petugas Uji")
        yield people


def test_right_pin_lets_in(people: People) -> None:
    """Also when the id is typed in other case; the id that counts is the one that was added."""
    shown = people.authenticate("OP1", PIN, Role.OPERATOR)
    assert shown.person is not None
    assert (shown.person.person_id, shown.person.name) == ("op1", "Petugas Uji")


def test_wrong_pins_lock_with_a_reason_and_an_end(people: People, clock: StillClock) -> None:
    """Tries left are told; then the time until which even the right PIN does not help; after it, it does."""
    left = [people.authenticate("op1", "000001", Role.OPERATOR).attempts_left for _ in range(WRONG_PINS_ALLOWED - 1)]
    assert left == [4, 3, 2, 1]
    locked = people.authenticate("op1", "000001", Role.OPERATOR)
    assert (locked.refusal, locked.locked_until) == (Refusal.LOCKED, clock.now() + LOCKED_FOR)
    assert people.authenticate("op1", PIN, Role.OPERATOR).refusal is Refusal.LOCKED
    clock.pass_time(LOCKED_FOR.total_seconds())
    assert people.authenticate("op1", PIN, Role.OPERATOR).person is not None


def test_a_lock_that_is_over_starts_a_new_count(people: People, clock: StillClock) -> None:
    """One wrong PIN after the lock does not lock again at once."""
    for _ in range(WRONG_PINS_ALLOWED):
        people.authenticate("op1", "000001", Role.OPERATOR)
    clock.pass_time(LOCKED_FOR.total_seconds())
    assert people.authenticate("op1", "000001", Role.OPERATOR).attempts_left == WRONG_PINS_ALLOWED - 1


def test_right_pin_forgets_wrong_ones(people: People) -> None:
    """Only wrong PINs in a row count."""
    for _ in range(WRONG_PINS_ALLOWED - 1):
        people.authenticate("op1", "000001", Role.OPERATOR)
    people.authenticate("op1", PIN, Role.OPERATOR)
    assert people.authenticate("op1", "000001", Role.OPERATOR).refusal is Refusal.WRONG_PIN


def test_wrong_pins_survive_a_restart(tmp_path: Path, clock: StillClock) -> None:
    """Pulling the plug does not give new tries."""
    for _ in range(WRONG_PINS_ALLOWED):
        with Database(tmp_path / "agent.db") as database:
            people = People(database, clock, QUICK)
            if people.find("op1") is None:
                people.add("op1", PIN, [Role.OPERATOR])
            last = people.authenticate("op1", "000001", Role.OPERATOR)
    assert last.refusal is Refusal.LOCKED


def test_nobody_learns_who_works_here(people: People) -> None:
    """An unknown id and a wrong PIN look alike."""
    assert people.authenticate("nobody", PIN, Role.OPERATOR).refusal is Refusal.WRONG_PIN
    assert people.authenticate("op1", "000001", Role.OPERATOR).refusal is Refusal.WRONG_PIN


def test_roles_are_asked_for(people: People) -> None:
    """A supervisor may do what an operator may; nobody else crosses over; a technician makes no claims."""
    people.add("sup1", PIN, [Role.SUPERVISOR])
    people.add("tech1", PIN, [Role.TECHNICIAN])
    assert people.authenticate("sup1", PIN, Role.OPERATOR).person is not None
    assert people.authenticate("op1", PIN, Role.SUPERVISOR).refusal is Refusal.WRONG_ROLE
    assert people.authenticate("tech1", PIN, Role.OPERATOR).refusal is Refusal.WRONG_ROLE


def test_new_pin_ends_a_lock(people: People) -> None:
    """The technician's way to help."""
    for _ in range(WRONG_PINS_ALLOWED):
        people.authenticate("op1", "000001", Role.OPERATOR)
    people.add("op1", "161803", [Role.OPERATOR])
    assert people.authenticate("op1", "161803", Role.OPERATOR).person is not None
    assert people.authenticate("op1", PIN, Role.OPERATOR).person is None


@pytest.mark.parametrize("pin", ["12345", "1234567890123", "12345a", "٣١٤١٥٩", "111111", "123456", "987654", "890123"])
def test_easy_pins_are_refused(people: People, pin: str) -> None:
    """Too short, no digits, one digit repeated, digits in a row: the message says which form is asked for."""
    with pytest.raises(PersonError):
        people.add("op2", pin, [Role.OPERATOR])
    assert people.find("op2") is None


@pytest.mark.parametrize("person_id", ["", "1op", "op 1", "op\n", "o" * 33, "9901010107850001"])
def test_ids_that_could_be_personal_data_are_refused(people: People, person_id: str) -> None:
    """Staff ids stand in packets and audit rows: no identity number, no full name."""
    with pytest.raises(PersonError):
        people.add(person_id, PIN, [Role.OPERATOR])


def test_two_people_do_not_differ_by_case_alone(people: People) -> None:
    """OP1 beside op1 would be a second person for the countersignature, and is not."""
    with pytest.raises(PersonError):
        people.add("OP1", PIN, [Role.SUPERVISOR])
    assert not may_countersign("op1", "OP1")
    assert may_countersign("op1", "sup1")


def test_pins_are_kept_as_argon2id(tmp_path: Path) -> None:
    """With the library's recommended cost, and nowhere as they are."""
    with Database(tmp_path / "agent.db") as database:
        People(database, StillClock()).add("op1", PIN, [Role.OPERATOR])
        kept = database.read("SELECT pin_hash FROM people")[0][0]
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,")
    assert PIN not in kept


def test_somebody_who_left_is_gone(people: People) -> None:
    """Their PIN opens nothing any more."""
    assert people.remove("op1")
    assert not people.remove("op1")
    assert people.authenticate("op1", PIN, Role.OPERATOR).refusal is Refusal.WRONG_PIN
    assert people.everybody() == ()


def test_lock_time_is_known_to_the_second(people: People, clock: StillClock) -> None:
    """One second before the end it still holds."""
    for _ in range(WRONG_PINS_ALLOWED):
        people.authenticate("op1", "000001", Role.OPERATOR)
    clock.wall += LOCKED_FOR - datetime.timedelta(seconds=1)
    assert people.authenticate("op1", PIN, Role.OPERATOR).refusal is Refusal.LOCKED


class _SlowHasher(PasswordHasher):
    """Takes long enough for everybody to be inside at once, and counts how often a PIN was looked at."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.looked = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        self.looked += 1
        threading.Event().wait(0.02)
        self.meanwhile()
        return super().verify(hash, password)


def test_guessing_in_parallel_gains_no_guess(tmp_path: Path, clock: StillClock) -> None:
    """Thirty PINs at once: five are looked at; after that even the right one does not help for a while."""
    with Database(tmp_path / "agent.db") as database:
        hasher = _SlowHasher()
        people = People(database, clock, hasher)
        people.add("op1", PIN, [Role.OPERATOR])
        pins = [f"{100200 + 7 * number}" for number in range(30)]
        with concurrent.futures.ThreadPoolExecutor(len(pins)) as pool:
            shown = list(pool.map(lambda pin: people.authenticate("op1", pin, Role.OPERATOR), pins))
        assert hasher.looked == WRONG_PINS_ALLOWED
        assert [one.refusal for one in shown].count(Refusal.LOCKED) == len(pins) - WRONG_PINS_ALLOWED + 1
        assert people.authenticate("op1", PIN, Role.OPERATOR).refusal is Refusal.LOCKED


@pytest.mark.parametrize("act", ["remove", "new_pin"])
@pytest.mark.parametrize("pin", [PIN, "000001"])
def test_a_pin_that_is_no_longer_valid_when_it_was_checked_lets_nobody_in(
    tmp_path: Path, clock: StillClock, act: str, pin: str
) -> None:
    """Removed, or given another PIN, in the moment the old one is compared."""
    with Database(tmp_path / "agent.db") as database:
        hasher = _SlowHasher()
        people = People(database, clock, hasher)
        people.add("op1", PIN, [Role.OPERATOR])
        hasher.meanwhile = (
            (lambda: people.remove("op1")) if act == "remove" else lambda: people.add("op1", "908172", [Role.OPERATOR])
        )
        assert people.authenticate("op1", pin, Role.OPERATOR).refusal is Refusal.WRONG_PIN
