"""Who works at this device: operators, supervisors, technicians, each with a PIN of their own.

The PIN is kept as an Argon2id hash. Wrong PINs in a row lock a person for a while; what a person can put right
(wrong PIN, locked, not their role) is a value, :class:`Refusal`. Nobody supervises themselves: whoever asks
for a countersignature compares the two ids (:func:`may_countersign`).
"""

import datetime
import enum
import itertools
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mpos_agent.clock import Clock
from mpos_agent.errors import AgentError
from sync.edge.database import Database, Row, Schema


class Role(enum.StrEnum):
    """What a person may do here."""

    OPERATOR = "OPERATOR"
    """Opens and makes claims."""
    SUPERVISOR = "SUPERVISOR"
    """Countersigns other people's claims; may open claims as well."""
    TECHNICIAN = "TECHNICIAN"
    """Sets the device up; neither sees nor makes claims."""


class Refusal(enum.StrEnum):
    """Why somebody was not let in."""

    WRONG_PIN = "WRONG_PIN"
    """Also when there is no such person: the two look and last alike."""
    LOCKED = "LOCKED"
    WRONG_ROLE = "WRONG_ROLE"


class PersonError(AgentError):
    """A person cannot be added as asked; ``detail`` says why and what to do."""

    code = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who works here."""

    person_id: str
    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """A supervisor may do what an operator may."""
        return role in self.roles or (role is Role.OPERATOR and Role.SUPERVISOR in self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What came of showing a PIN: a person, or a refusal with what is left."""

    person: Person | None = None
    refusal: Refusal | None = None
    attempts_left: int = 0
    locked_until: datetime.datetime | None = None


# Few enough that guessing a six-digit PIN takes a lifetime, enough for a tired person.
WRONG_PINS_ALLOWED: Final = 5
# Long enough to stop guessing at the counter, short enough that a member can wait for it.
LOCKED_FOR: Final = datetime.timedelta(minutes=15)

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,31}")
_PIN = re.compile(r"\d{6,12}", re.ASCII)


def _people(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE people ("
        " person_id TEXT PRIMARY KEY, name TEXT NOT NULL, roles TEXT NOT NULL, pin_hash TEXT NOT NULL,"
        " wrong_pins INTEGER NOT NULL DEFAULT 0, locked_until TEXT, added_at TEXT NOT NULL) STRICT"
    )


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_people,)


def may_countersign(operator_id: str, supervisor_id: str) -> bool:
    """A second person is another person; ids differ by more than case."""
    return operator_id.casefold() != supervisor_id.casefold()


class People:
    """The people of this device."""

    def __init__(self, database: Database, clock: Clock, hasher: PasswordHasher | None = None) -> None:
        self._database, self._clock = database, clock
        # One for everybody: it also bounds the memory that hashing takes, whoever asks however often.
        self._one_at_a_time = threading.Lock()
        # RFC 9106, second recommended set (64 MiB, 3 passes): under 0.2 s on a small PC.
        self._hasher = hasher or PasswordHasher()
        # Compared for people who do not exist, so that they take as long as those who do.
        self._nobody = self._hasher.hash("000000000000")
        database.migrate("people", STEPS)

    def add(self, person_id: str, pin: str, roles: Collection[Role], name: str = "") -> Person:
        """Add somebody, or give them a new PIN, name and roles; that also ends a lock.

        Raises
        ------
        PersonError
            The id or the PIN does not have its form, the PIN is too easy, or there is no role.
        """
        if not _ID.fullmatch(person_id):
            raise PersonError("the id begins with a letter and has at most 32 letters, digits, dots, hyphens")
        if not roles:
            raise PersonError("give at least one role: operator, supervisor or technician")
        if len(name) > 100:
            raise PersonError("the name has at most 100 characters")
        self._check_pin(pin)
        person = Person(person_id=person_id, name=name, roles=frozenset(roles))
        with self._database.transaction() as transaction:
            existing = self._row(person_id)
            if existing is not None and existing[0] != person_id:
                raise PersonError("somebody has this id already, written in other case")
            transaction.execute(
                "INSERT INTO people (person_id, name, roles, pin_hash, added_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, roles = excluded.roles, "
                "pin_hash = excluded.pin_hash, wrong_pins = 0, locked_until = NULL",
                (person_id, name, _joined(roles), self._hasher.hash(pin), self._clock.now().isoformat()),
            )
        return person

    def remove(self, person_id: str) -> bool:
        """Take somebody off this device; False when they were not there."""
        with self._database.transaction() as transaction:
            found = self._row(person_id)
            if found is None:
                return False
            transaction.execute("DELETE FROM people WHERE person_id = ?", (found[0],))
        return True

    def find(self, person_id: str) -> Person | None:
        """Somebody by id, without a PIN."""
        row = self._row(person_id)
        return _person(row) if row else None

    def everybody(self) -> tuple[Person, ...]:
        """All people of this device, by id."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM people ORDER BY person_id")  # noqa: S608 - fixed words
        return tuple(_person(row) for row in rows)

    def authenticate(self, person_id: str, pin: str, role: Role) -> SignIn:
        """Let somebody in who shows the right PIN and has the role.

        Each wrong PIN counts at once and on its own, whatever the caller's transaction does later. PINs are checked
        one after the other: many at once would all be looked at before the first of them had counted.
        """
        with self._one_at_a_time:
            return self._authenticated(person_id, pin, role)

    def _authenticated(self, person_id: str, pin: str, role: Role) -> SignIn:
        row = self._row(person_id)
        if row is None:
            self._verify(self._nobody, pin)
            return SignIn(refusal=Refusal.WRONG_PIN)
        now = self._clock.now()
        locked_until = datetime.datetime.fromisoformat(row[5]) if row[5] else None
        if locked_until and now < locked_until:
            return SignIn(refusal=Refusal.LOCKED, locked_until=locked_until)
        if not self._verify(row[3], pin):
            return self._count_wrong_pin(row[0], now)
        with self._database.transaction() as transaction:
            # Read again under the write lock: hashing takes a while, and a technician may have acted meanwhile.
            still = self._row(row[0])
            if still is None or still[3] != row[3]:
                return SignIn(refusal=Refusal.WRONG_PIN)
            transaction.execute("UPDATE people SET wrong_pins = 0, locked_until = NULL WHERE person_id = ?", (row[0],))
        person = _person(still)
        if not person.may(role):
            return SignIn(refusal=Refusal.WRONG_ROLE)
        return SignIn(person=person)

    def _count_wrong_pin(self, person_id: str, now: datetime.datetime) -> SignIn:
        with self._database.transaction() as transaction:
            # Read again under the write lock: a technician may have acted meanwhile.
            row = self._row(person_id)
            if row is None:
                return SignIn(refusal=Refusal.WRONG_PIN)
            # A lock that is over starts a new count.
            wrong = 1 if row[5] else row[4] + 1
            until = now + LOCKED_FOR if wrong >= WRONG_PINS_ALLOWED else None
            transaction.execute(
                "UPDATE people SET wrong_pins = ?, locked_until = ? WHERE person_id = ?",
                (wrong, until.isoformat() if until else None, person_id),
            )
        if until:
            return SignIn(refusal=Refusal.LOCKED, locked_until=until)
        return SignIn(refusal=Refusal.WRONG_PIN, attempts_left=WRONG_PINS_ALLOWED - wrong)

    def _verify(self, pin_hash: str, pin: str) -> bool:
        try:
            return self._hasher.verify(pin_hash, pin)
        except (VerificationError, InvalidHashError):
            return False

    def _row(self, person_id: str) -> Row | None:
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM people WHERE person_id = ? COLLATE NOCASE",  # noqa: S608 - fixed words
            (person_id,),
        )
        return rows[0] if rows else None

    @staticmethod
    def _check_pin(pin: str) -> None:
        if not _PIN.fullmatch(pin):
            raise PersonError("a PIN has 6 to 12 digits")
        steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(pin)}
        if len(steps) == 1 and steps & {0, 1, 9}:
            raise PersonError("this PIN is too easy to guess: not one digit repeated, not digits in a row")


_COLUMNS: Final = "person_id, name, roles, pin_hash, wrong_pins, locked_until"


def _joined(roles: Collection[Role]) -> str:
    return ",".join(sorted(set(roles)))


def _person(row: Row) -> Person:
    return Person(person_id=row[0], name=row[1], roles=frozenset(Role(word) for word in row[2].split(",")))
