"""What every ledger promises, on each engine by name."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from head_office.errors import LedgerBusyError
from head_office.ledger.base import LOCK_DEVICE, Answers, Ledger, Question, Transaction
from head_office.ledger.gapless import next_number
from head_office.ledger.postgres import PostgresLedger
from head_office.ledger.sqlite import SqliteLedger
from tests.head_office.cluster import cluster, new_ledger_address

__all__ = ["cluster", "new_ledger_address"]  # fixtures of head office's tests

ALARM = "INSERT INTO alarms (at, device_id, kind) VALUES (?, ?, ?)"
DEVICE = (
    "INSERT INTO devices (device_id, serial, branch_code, kanwil_code, site_type, state, enrolled_at)"
    " VALUES (?, 'S', 'KC01', 'DKI', 'BRANCH', 'ACTIVE', 0)"
)


@pytest.fixture
def opened(new_ledger_address: Callable[[], str | None], tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Opens the same new ledger each time it is called, as another process would."""
    address = new_ledger_address()
    made: list[Ledger] = []

    def open_one() -> Ledger:
        one: Ledger = (
            SqliteLedger(tmp_path / "ledger.db", write_wait_s=0.3) if address is None
            else PostgresLedger(address, lock_ms=300)
        )  # fmt: skip
        made.append(one)
        return one

    yield open_one
    for one in made:
        one.close()


@pytest.fixture
def ledger(opened: Callable[[], Ledger]) -> Ledger:
    return opened()


def in_threads(*works: Callable[[], object]) -> list[BaseException]:
    """Run all at once; what they raised."""
    failed: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed


def count(ledger: Ledger) -> int:
    return int(ledger.read("SELECT count(*) AS n FROM alarms")[0]["n"])


def test_what_is_committed_is_seen_by_another_reader(ledger: Ledger, opened: Callable[[], Ledger]) -> None:
    """Durable and visible once the block is left; nothing of it before."""
    other = opened()
    with ledger.transaction() as tx:
        tx.execute(ALARM, (1, "d", "k"))
        assert count(other) == 0
    assert count(other) == 1


def test_an_act_that_raises_leaves_nothing_behind(ledger: Ledger) -> None:
    """All or nothing."""

    def insert_and_fail() -> None:
        with ledger.transaction() as tx:
            tx.execute(ALARM, (1, "d", "k"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    assert count(ledger) == 0


def test_values_come_back_as_they_went_in(ledger: Ledger) -> None:
    """Every byte, quotes and place holders in texts, large numbers, nothing at all."""
    every_byte, odd = bytes(range(256)), "it's 100% ? \\ é 名 'quoted'"
    with ledger.transaction() as tx:
        tx.execute(
            "INSERT INTO alarms (at, device_id, kind, lane, epoch, seq) VALUES (?, ?, '?%', ?, ?, ?)",
            (-(2**62), odd, None, every_byte, 2**63 - 1),
        )
    (row,) = ledger.read("SELECT at, device_id, kind, lane, epoch, seq FROM alarms WHERE device_id = ?", (odd,))
    assert tuple(row) == (-(2**62), odd, "?%", None, every_byte, 2**63 - 1)
    assert (row["seq"], row[5], row.keys()[0]) == (2**63 - 1, 2**63 - 1, "at")


def test_numbers_have_no_gap_and_none_is_given_twice(ledger: Ledger, opened: Callable[[], Ledger]) -> None:
    """Several writers on two ledgers at once; a writer that fails gives its number back."""
    given: list[int] = []

    def take(one: Ledger) -> None:
        for turn in range(6):
            try:
                with one.transaction() as tx:
                    number = next_number(tx, "acts")
                    _ = 1 / (2 - turn % 3)  # the third of three fails
                given.append(number)
            except ZeroDivisionError:
                continue

    other = opened()
    assert in_threads(*(lambda one=one: take(one) for one in (ledger, ledger, other))) == []
    assert sorted(given) == list(range(1, 13))


def test_a_device_is_held_by_one_writer_at_a_time(ledger: Ledger, opened: Callable[[], Ledger]) -> None:
    """The second waits, and not for ever."""
    with ledger.transaction() as tx:
        tx.execute(DEVICE, ("D-1",))
    other = opened()
    with ledger.transaction() as tx:
        assert tx.lock_device("D-1") is not None
        with pytest.raises(LedgerBusyError), other.transaction() as second:
            second.lock_device("D-1")
        assert tx.lock_device("D-2") is None
    with other.transaction() as second:
        assert second.lock_device("D-1") is not None


def test_questions_in_one_go_are_answered_in_their_order(ledger: Ledger) -> None:
    """The lock on the device first, then what is read under it; where nothing is asked the work is done as well."""
    with ledger.transaction() as tx:
        tx.execute(DEVICE, ("D-1",))
    alarms: Question = ("SELECT kind FROM alarms WHERE at > ? ORDER BY at", (1,))
    numbers: Question = ("SELECT 7 AS x", ())

    def write(tx: Transaction, answers: Answers) -> tuple[str, list[str], int]:
        device, found, seven = answers
        tx.execute(ALARM, (4, "D-1", "k4"))
        return device[0]["device_id"], [row["kind"] for row in found], seven[0]["x"]

    asked: list[Question] = [(LOCK_DEVICE, ("D-1",)), alarms, numbers]
    for number in range(4):
        with ledger.transaction() as tx:
            tx.execute(ALARM, (number, "D-1", f"k{number}"))
    assert ledger.together_after(asked, write) == ("D-1", ["k2", "k3"], 7)
    assert [[row[0] for row in rows] for rows in ledger.read_all([numbers, alarms])] == [[7], ["k2", "k3", "k4"]]
    assert ledger.together_after([], lambda tx, answers: len(answers)) == 0
    assert ledger.read_all([]) == []


def test_a_device_somebody_holds_is_waited_for_at_the_first_question_too(
    ledger: Ledger, opened: Callable[[], Ledger]
) -> None:
    """And not for ever; whoever was refused is served the next time."""
    with ledger.transaction() as tx:
        tx.execute(DEVICE, ("D-1",))
    other = opened()
    asked = [(LOCK_DEVICE, ("D-1",)), ("SELECT 7 AS x", ())]
    with ledger.transaction() as tx:
        assert tx.lock_device("D-1") is not None
        with pytest.raises(LedgerBusyError):
            other.together_after(asked, lambda tx, answers: None)
    assert other.together_after(asked, lambda tx, answers: [len(rows) for rows in answers]) == [1, 1]


def test_works_that_share_a_flush_stand_and_fall_alone(ledger: Ledger) -> None:
    """One of many raises: its own statements are undone and it alone hears of it; the others are stored."""
    together = threading.Barrier(8)
    heard: list[int] = []

    def work(number: int) -> None:
        def write(tx: Transaction) -> int:
            tx.execute(ALARM, (number, "d", f"k{number}"))
            if number == 3:
                raise ZeroDivisionError
            return number

        together.wait()
        heard.append(ledger.together(write))

    failed = in_threads(*(lambda n=n: work(n) for n in range(8)))
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert sorted(heard) == [0, 1, 2, 4, 5, 6, 7]
    assert sorted(row["at"] for row in ledger.read("SELECT at FROM alarms")) == [0, 1, 2, 4, 5, 6, 7]


def test_receipt_numbers_grow_and_are_never_given_twice(ledger: Ledger) -> None:
    """Also after a transaction that took some and did not use them."""
    with ledger.transaction() as tx:
        tx.execute(DEVICE, ("D-1",))
        numbers = tx.receipt_numbers(3)
        tx.execute_many(
            "INSERT INTO packets (receipt_no, device_id, lane, epoch, seq, in_chain, digest, envelope, verdict,"
            " stored_at, opening) VALUES (?, 'D-1', 'core', ?, ?, 1, ?, ?, 'accepted', 0, 'WAITING')",
            [(number, b"e" * 16, number, bytes([number]) * 32, b"x") for number in numbers],
        )
    with ledger.transaction() as tx:
        later = tx.receipt_numbers(2)
    assert numbers == sorted(numbers)
    assert min(later) > max(numbers)


def test_the_same_place_in_a_chain_is_filled_once(ledger: Ledger) -> None:
    """Behind the lock on the device's row stands a key of the table: a second packet in one place is an error."""
    insert = (
        "INSERT INTO packets (receipt_no, device_id, lane, epoch, seq, in_chain, digest, envelope, verdict,"
        " stored_at, opening) VALUES (?, 'D-1', 'core', ?, 1, 1, ?, ?, 'accepted', 0, 'WAITING')"
    )
    with ledger.transaction() as tx:
        tx.execute(DEVICE, ("D-1",))
        tx.execute(insert, (1, b"e" * 16, b"a" * 32, b"x"))
    with pytest.raises(Exception, match=r"(?i)unique"), ledger.transaction() as tx:  # each engine's own error
        tx.execute(insert, (2, b"e" * 16, b"b" * 32, b"y"))
    assert len(ledger.read("SELECT 1 FROM packets")) == 1


def test_a_ledger_in_order_passes_its_own_check(ledger: Ledger) -> None:
    """As asked at each start of the service."""
    ledger.check()
