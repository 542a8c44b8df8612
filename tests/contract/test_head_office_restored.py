"""Head office is restored from a backup of before, behind a device that has purged what it delivered since."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from head_office import custody
from head_office.cli import app
from head_office.commands import CommandQueue
from head_office.desk.users import DeskUsers
from head_office.errors import HeadOfficeError
from head_office.giving_up import (
    Missing,
    MissingPlaces,
    MissingState,
    NoSuchPlacesError,
    StillOnDeviceError,
    TooManyPlacesError,
)
from head_office.ledger.sqlite import SqliteLedger
from head_office.quarantine import NothingAskedError, SecondPersonError
from sync import errors as wire
from sync.checkpoint import sign_batch
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime
from sync.edge.commands import Commands
from sync.edge.database import Database
from sync.edge.head_office_client import Reply
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow, RowState
from sync.edge.queue_orders import QueueOrders
from sync.edge.receipts import Receipts
from sync.edge.sealing import Sealer
from sync.edge.uploader import RoundResult, Trust, Uploader
from sync.envelope import Lane
from sync.packet import new_packet_id
from sync.receipt import Verdict
from tests.head_office.cluster import cluster, new_ledger_address
from tests.head_office.conftest import Office, home, office
from tests.sync.edge.conftest import HandClock
from tests.sync.edge.test_outbox import rot
from tests.sync.people import matched_claim

__all__ = ["cluster", "home", "new_ledger_address", "office"]  # fixtures of head office's tests

MONTH = 30 * 86_400
SMALL = ("commands", "missing_places", "stand_ins", "alarms")
PASSWORDS = {"ayu": "kata sandi satu", "budi": "kata sandi dua"}


class Counter:
    """A device with the agent's own queue, register of commands and uploader; the line is a call."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.clock = office, HandClock()
        self.clock.wall = office.clock.now
        self.hears = True
        self.keys = office.device()
        self.database = Database(folder / "agent.db", now=self.clock.utc)
        self.outbox = Outbox(self.database, self.clock)
        orders = QueueOrders(self.outbox, on_resent=lambda *_: None, on_new_epoch=lambda _: None)
        self.commands = Commands(self.database, self.clock, orders.handlers())
        time = HeadOfficeTime(self.database, self.clock)
        self.sealer = Sealer(self.keys.device_id, self.keys.signer, self.keys.recipients, time)
        self.uploader = Uploader(
            self.outbox,
            self,
            self.keys.signer,
            Trust(self.keys.device_id, self.keys.receipt_keys),
            self.clock,
            breaker=Breaker(self.database, lambda: 0.5),
            head_office_time=time,
            free_disk_bytes=lambda: 10**9,
            versions={"agent": "0.1.0"},
            draw=lambda: 0.5,
            receipts=Receipts(self.outbox, commands=self.commands),
        )

    def post(self, path: str, body: bytes) -> Reply:
        reply = Reply(self.office.ingest.receive(self.keys.tls_certificate, body), 0, 1)
        if not self.hears:
            raise wire.HeadOfficeError(wire.Cause.UNREACHABLE)
        return reply

    def claim(self, number: int) -> OutboxRow:
        claim = replace(
            matched_claim(new_packet_id(1_790_000_000_000 + number, os.urandom(10))),
            device_id=self.keys.device_id,
            kpj=f"99ZZ{number:07d}",
        )
        return self.outbox.put(claim.packet_id, Lane.CORE, self.sealer.sealed(claim.encode()))

    def deliver(self, *numbers: int) -> list[OutboxRow]:
        """Claims that are sealed and acknowledged one after the other."""
        rows = []
        for number in numbers:
            rows.append(self.claim(number))
            self.round()
        return rows

    def round(self) -> RoundResult:
        self.clock.pass_time(60)
        self.office.clock.advance(seconds=60)
        return self.uploader.round(now_please=True)

    def rounds(self, many: int) -> None:
        for _ in range(many):
            self.round()

    def purge(self) -> None:
        """The retention of what was acknowledged until now is over."""
        self.clock.pass_time(MONTH)
        self.office.clock.advance(seconds=MONTH)
        assert self.outbox.purge(self.clock.utc() - timedelta(days=1)) > 0

    def states(self) -> list[RowState]:
        return [row.state for row in reversed(self.outbox.rows())]


class Backup:
    """A copy of the ledger: of SQLite's file; of PostgreSQL's rows that later ones are told from."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.copy = office, folder / f"backup-{os.urandom(4).hex()}.db"
        if isinstance(office.ledger, SqliteLedger):
            with closing(sqlite3.connect(office.home.ledger)) as connection:
                connection.execute("VACUUM INTO ?", (str(self.copy),))
            return
        self.lanes = office.ledger.read("SELECT * FROM lanes")
        self.packets = office.ledger.read("SELECT coalesce(max(receipt_no), 0) AS n FROM packets")[0]["n"]
        self.said = office.ledger.read("SELECT device_id, last_checkpoint FROM devices")
        self.rows = {table: office.ledger.read(f"SELECT * FROM {table}") for table in SMALL}

    def restore(self) -> None:
        if isinstance(self.office.ledger, SqliteLedger):
            self.office.ledger.close()
            shutil.copyfile(self.copy, self.office.home.ledger)
            for ending in ("-wal", "-shm"):
                Path(f"{self.office.home.ledger}{ending}").unlink(missing_ok=True)
            self.office.__post_init__()
            return
        with self.office.ledger.transaction() as tx:
            tx.execute("DELETE FROM packets WHERE receipt_no > ?", (self.packets,))
            for table, rows in self.rows.items():
                tx.execute(f"DELETE FROM {table}")
                for row in rows:
                    tx.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", tuple(row))
            for row in self.lanes:
                tx.execute(
                    "UPDATE lanes SET next_seq = ?, head_hash = ? WHERE device_id = ? AND lane = ? AND epoch = ?",
                    (row["next_seq"], row["head_hash"], row["device_id"], row["lane"], row["epoch"]),
                )
            for row in self.said:
                tx.execute(
                    "UPDATE devices SET last_checkpoint = ? WHERE device_id = ?",
                    (row["last_checkpoint"], row["device_id"]),
                )
        self.office.ledger.close()
        self.office.__post_init__()


@pytest.fixture
def counter(office: Office, tmp_path: Path) -> Iterator[Counter]:
    made = Counter(office, tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def backup(office: Office, tmp_path: Path) -> Callable[[], Backup]:
    return lambda: Backup(office, tmp_path)


def places(office: Office) -> MissingPlaces:
    return MissingPlaces(office.ledger, office.clock)


def only(office: Office) -> Missing:
    (found,) = places(office).listed()
    return found


def alarms(office: Office) -> list[tuple[str, str, int, int | None]]:
    return [(row["kind"], row["lane"], row["seq"], row["last_seq"]) for row in custody.alarms(office.ledger)]


def stored_places(office: Office) -> list[int]:
    """Places in the chain, once each however often they are there."""
    return [row["seq"] for row in office.ledger.read("SELECT seq FROM packets WHERE in_chain = 1 ORDER BY seq")]


def envelope_of(counter: Counter, row: OutboxRow) -> bytes:
    """The sealed bytes, as a stick would have them."""
    envelope = counter.outbox.envelope(row.id)
    assert envelope is not None
    return envelope


def carried(counter: Counter, *packets: bytes) -> list[tuple[Verdict, str | None]]:
    """What head office says of packets that come as a file."""
    checkpoint = counter.uploader.checkpoint(counter.clock.utc())
    counter.keys.last_nonce = checkpoint.nonce
    body = sign_batch(checkpoint, packets, counter.keys.signer)
    receipt = counter.keys.verified(counter.office.ingest.receive_carried(body))
    return [(verdict.verdict, verdict.reason) for verdict in receipt.verdicts]


def declare_gone(counter: Counter) -> None:
    """Two people, and the device's answer between them."""
    office = counter.office
    number = only(office).number
    places(office).ask(number, "dipulihkan dari cadangan semalam", by="ayu")
    for _ in range(4):
        if only(office).state is MissingState.NOT_ON_DEVICE:
            break
        counter.round()
    places(office).confirm(number, by="budi")


def lose_two(counter: Counter, backup: Callable[[], Backup]) -> list[OutboxRow]:
    """Place 1 is in the backup, 2 and 3 were delivered and purged since, and head office is set back."""
    counter.deliver(1)
    before = backup()
    lost = counter.deliver(2, 3)
    counter.purge()
    before.restore()
    return lost


def test_a_restored_head_office_says_which_places_are_missing_though_the_device_has_nothing_to_send(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """At the first idle poll: an alarm with lane, first and last place, and the device asked for all it has."""
    lose_two(counter, backup)
    result = counter.round()
    assert alarms(office) == [("places_missing", "core", 2, 3)]
    assert [command.name for command in result.commands] == ["resend"]
    assert only(office).state is MissingState.ASKED_AGAIN
    counter.round()
    assert only(office).state is MissingState.NOT_ON_DEVICE
    assert (only(office).first, only(office).last) == (2, 3)


def test_without_a_word_of_two_people_nothing_is_taken_over_the_gap(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """What is behind the gap stays on the device; a single person changes nothing, the same one twice neither."""
    lose_two(counter, backup)
    counter.claim(4)
    counter.rounds(3)
    number = only(office).number
    with pytest.raises(NothingAskedError):
        places(office).confirm(number, by="budi")
    places(office).ask(number, "cadangan", by="ayu")
    with pytest.raises(SecondPersonError):
        places(office).confirm(number, by="ayu")
    counter.round()
    assert stored_places(office) == [1]
    assert counter.states()[3] is RowState.READY
    places(office).withdraw(number, by="ayu")
    with pytest.raises(NothingAskedError):
        places(office).confirm(number, by="budi")


def test_after_two_people_said_so_the_chain_goes_on_with_the_next_packet(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Each claim behind the gap is on the desk once, and the record of who said what stays."""
    lose_two(counter, backup)
    counter.rounds(2)
    declare_gone(counter)
    counter.deliver(4, 5)
    assert stored_places(office) == [1, 4, 5]
    assert counter.states()[3:] == [RowState.ACKED, RowState.ACKED]
    assert [row["kpj"][-1] for row in office.claims()] == ["1", "4", "5"]
    told = only(office)
    assert (told.state, told.still_gone) == (MissingState.WENT_ON, 2)
    assert (told.asked_by, told.confirmed_by, told.reason) == ("ayu", "budi", "dipulihkan dari cadangan semalam")
    acts = [row["act"] for row in office.ledger.read("SELECT act FROM acts WHERE who IN ('ayu', 'budi')")]
    assert acts == ["command_queued", "places_gone_asked", "places_gone_confirmed"]
    counter.deliver(6)
    assert len(places(office).listed()) == 1


def test_what_the_device_still_has_comes_back_by_itself(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Nothing was purged yet: one command fills the gap, and there is nothing to declare."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3)
    before.restore()
    counter.claim(4)
    counter.rounds(3)
    assert stored_places(office) == [1, 2, 3, 4]
    assert set(counter.states()) == {RowState.ACKED}
    assert only(office).state is MissingState.CAME_AGAIN
    with pytest.raises(NoSuchPlacesError):
        places(office).ask(only(office).number, "cadangan", by="ayu")


def test_a_place_the_device_still_has_cannot_be_declared_gone(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Before it has answered nothing can; afterwards only what lies before its own first packet."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2)
    counter.purge()
    counter.deliver(3)
    before.restore()
    counter.round()
    assert only(office).last == 3
    with pytest.raises(StillOnDeviceError):
        places(office).ask(only(office).number, "cadangan", by="ayu")
    counter.round()
    assert (only(office).first, only(office).last, only(office).state) == (2, 2, MissingState.NOT_ON_DEVICE)
    declare_gone(counter)
    counter.round()
    assert stored_places(office) == [1, 3]


def test_a_question_that_was_withdrawn_is_no_answer_and_is_asked_once_more(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Somebody takes the command back before the device has heard it."""
    lose_two(counter, backup)
    counter.hears = False
    counter.round()
    queue = CommandQueue(office.ledger)
    assert queue.withdraw(bytes(queue.listed()[0]["command_id"]), by="cli:ayu")
    counter.hears = True
    assert only(office).state is MissingState.NOT_ASKED
    with pytest.raises(StillOnDeviceError):
        places(office).ask(only(office).number, "cadangan", by="ayu")
    assert only(office).state is MissingState.ASKED_AGAIN
    counter.rounds(2)
    assert only(office).state is MissingState.NOT_ON_DEVICE


@pytest.mark.parametrize("order", [list, reversed], ids=["first", "last"])
def test_a_packet_that_turns_up_after_all_takes_its_place(
    counter: Counter, office: Office, backup: Callable[[], Backup], order: Callable[[list[bytes]], list[bytes]]
) -> None:
    """A stick that was written in time is found: each is taken once, whichever comes first, and nothing else is."""
    counter.deliver(1)
    before = backup()
    stick = []
    for number in (2, 3):
        stick.append(envelope_of(counter, counter.claim(number)))
        counter.round()
    counter.purge()
    before.restore()
    counter.rounds(2)
    declare_gone(counter)
    counter.deliver(4)

    assert [carried(counter, packet) for packet in order(stick)] == [[(Verdict.ACCEPTED, None)]] * 2
    assert carried(counter, *stick) == [(Verdict.DUPLICATE, None)] * 2
    assert stored_places(office) == [1, 2, 3, 4]
    assert only(office).still_gone == 0
    assert sorted(row["kpj"][-1] for row in office.claims()) == ["1", "2", "3", "4"]
    assert [kind for kind, *_ in alarms(office)] == ["places_missing"]


def test_a_packet_that_comes_between_the_word_and_the_next_claim_is_taken_in_its_place(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Declared gone, and not yet gone on without: the chain simply follows."""
    counter.deliver(1)
    before = backup()
    early = envelope_of(counter, counter.claim(2))
    counter.round()
    counter.deliver(3)
    counter.purge()
    before.restore()
    counter.rounds(2)
    declare_gone(counter)
    assert carried(counter, early) == [(Verdict.ACCEPTED, None)]
    counter.deliver(4)
    assert stored_places(office) == [1, 2, 4]


@pytest.mark.parametrize("place", [2, 3])
def test_other_bytes_in_a_place_that_is_gone_are_a_fork(
    counter: Counter, office: Office, backup: Callable[[], Backup], place: int
) -> None:
    """What its successor does not name, or does not follow from the one before: another history freezes the lane."""
    lost = lose_two(counter, backup)
    counter.rounds(2)
    declare_gone(counter)
    counter.deliver(4)
    chain = counter.keys.chains[Lane.CORE]
    chain.epoch, chain.next_seq, chain.head = lost[0].epoch, place, lost[0].digest
    assert carried(counter, counter.keys.seal(number=9)) == [(Verdict.QUARANTINED, "fork")]


def test_spoilt_bytes_behind_the_gap_do_not_keep_the_chain_from_going_on(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The first packet behind it has rotted: kept as evidence of its place, the next one is taken."""
    lose_two(counter, backup)
    counter.rounds(2)
    declare_gone(counter)
    spoilt = counter.claim(4)
    counter.claim(5)
    rot(counter.database, spoilt.id)
    counter.rounds(3)
    assert stored_places(office) == [1, 4, 5]
    assert set(counter.states()[3:]) == {RowState.ACKED}
    assert only(office).state is MissingState.WENT_ON


def test_a_gap_on_a_stick_alone_raises_nothing(counter: Counter, office: Office) -> None:
    """Files come in any order; the device has not said that it has a receipt for what is not here."""
    counter.claim(1)
    second = envelope_of(counter, counter.claim(2))
    assert carried(counter, second) == [(Verdict.RETRY_LATER, "gap")]
    assert (alarms(office), places(office).listed()) == ([], [])


def test_more_places_than_one_command_names_are_asked_for_one_after_the_other(
    counter: Counter, office: Office, backup: Callable[[], Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies behind the first command's range may still be on the device."""
    monkeypatch.setattr("head_office.missing.RESEND_AT_MOST", 2)
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3, 4, 5)
    counter.purge()
    counter.deliver(6)
    before.restore()
    counter.round()
    with pytest.raises(StillOnDeviceError):
        places(office).ask(only(office).number, "cadangan", by="ayu")
    counter.rounds(4)
    assert (only(office).first, only(office).last, only(office).state) == (2, 5, MissingState.NOT_ON_DEVICE)
    declare_gone(counter)
    counter.round()
    assert stored_places(office) == [1, 6]


def test_the_way_out_on_the_command_line(counter: Counter, office: Office, backup: Callable[[], Backup]) -> None:
    """List, ask, confirm by another, with a password each; refused with a sentence where it is too early."""
    lose_two(counter, backup)
    counter.round()
    for name, password in PASSWORDS.items():
        DeskUsers(office.ledger).add(name, password, by="test")

    def run(*words: str, user: str = "") -> tuple[int, str]:
        sign_in = ("--user", user, "--password-stdin") if user else ()
        home = ("--home", str(office.home.folder))
        done = CliRunner().invoke(app, ["places", *words, *sign_in, *home], input=PASSWORDS.get(user, "") + "\n")
        told: Any = done.exception
        return done.exit_code, done.output + (str(told) if isinstance(told, HeadOfficeError) else "")

    number = str(only(office).number)
    code, said = run("gone", number, "--reason", "cadangan", user="ayu")
    assert (code, "wait for its next round" in said) == (1, True)
    counter.round()
    assert run("gone", number, "--reason", "cadangan", user="ayu")[0] == 0
    code, said = run("confirm", number, user="budi")
    assert (code, "wait for its next round" in said) == (1, True)
    counter.rounds(2)
    assert run("confirm", number, user="ayu")[0] == 1
    assert "goes on with 4" in run("confirm", number, user="budi")[1]
    assert '"state": "gone"' in run("list", "--json")[1]


def test_an_old_question_in_the_backup_is_not_the_last_word(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The device remembers to have answered it, and does nothing again: the one who asks has it asked afresh."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3)
    before.restore()
    counter.hears = False
    counter.round()
    with_question = backup()
    counter.hears = True
    counter.rounds(3)
    assert stored_places(office) == [1, 2, 3]
    with_question.restore()
    counter.rounds(2)
    assert only(office).state is MissingState.NOT_ON_DEVICE
    places(office).ask(only(office).number, "cadangan", by="ayu")
    with pytest.raises(StillOnDeviceError):
        places(office).confirm(only(office).number, by="budi")
    counter.rounds(3)
    assert stored_places(office) == [1, 2, 3]
    with pytest.raises(NoSuchPlacesError):
        places(office).confirm(only(office).number, by="budi")


def an_empty_batch(counter: Counter) -> bytes:
    """What the device says of itself now, on its way for as long as one likes."""
    checkpoint = counter.uploader.checkpoint(counter.clock.utc())
    counter.keys.last_nonce = checkpoint.nonce
    return sign_batch(checkpoint, [], counter.keys.signer)


def comes(counter: Counter, way: str, body: bytes) -> None:
    if way == "line":
        counter.office.ingest.receive(counter.keys.tls_certificate, body)
    else:
        counter.office.ingest.receive_carried(body)


@pytest.mark.parametrize("way", ["line", "stick"])
def test_what_a_device_said_before_it_answered_is_no_answer(
    counter: Counter, office: Office, backup: Callable[[], Backup], way: str
) -> None:
    """A checkpoint of last week that was true then: nothing waited. It comes between the answer and the packets."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3)
    old = an_empty_batch(counter)
    before.restore()
    counter.round()
    comes(counter, "line", an_empty_batch(counter))
    comes(counter, way, old)
    assert only(office).state is MissingState.ASKED_AGAIN
    counter.rounds(3)
    assert stored_places(office) == [1, 2, 3]


@pytest.mark.parametrize("way", ["line", "stick"])
def test_what_a_device_said_before_it_answered_narrows_nothing(
    counter: Counter, office: Office, backup: Callable[[], Backup], way: str
) -> None:
    """It names fewer places than are missing: declared gone with the rest standing, the chain would stop for ever."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2)
    old = an_empty_batch(counter)
    counter.deliver(3, 4)
    counter.purge()
    before.restore()
    counter.rounds(2)
    comes(counter, way, old)
    assert (only(office).first, only(office).last) == (2, 4)
    declare_gone(counter)
    counter.deliver(5)
    assert stored_places(office) == [1, 5]


def test_restored_once_more_behind_places_that_are_gone_the_rest_comes_back(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The second backup knows of the places that were declared gone, and lacks others behind them."""
    lose_two(counter, backup)
    counter.rounds(2)
    declare_gone(counter)
    second = backup()
    counter.deliver(4, 5)
    second.restore()
    counter.rounds(4)
    assert stored_places(office) == [1, 4, 5]
    assert [(one.first, one.last, one.state) for one in places(office).listed()] == [
        (2, 3, MissingState.WENT_ON),
        (4, 5, MissingState.CAME_AGAIN),
    ]


def test_restored_once_more_behind_places_that_are_gone_more_can_be_declared_gone(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """What follows them was purged, too: asked for, declared by two people, and the chain goes on over both."""
    lose_two(counter, backup)
    counter.rounds(2)
    declare_gone(counter)
    second = backup()
    counter.deliver(4, 5)
    counter.purge()
    second.restore()
    counter.rounds(2)
    latest = places(office).listed()[-1]
    assert (latest.first, latest.last, latest.state) == (4, 5, MissingState.NOT_ON_DEVICE)
    places(office).ask(latest.number, "cadangan kedua", by="ayu")
    counter.rounds(2)
    places(office).confirm(latest.number, by="budi")
    counter.deliver(6)
    assert stored_places(office) == [1, 6]
    assert {one.state for one in places(office).listed()} == {MissingState.WENT_ON}


def test_an_answer_without_what_it_shows_is_asked_for_again_after_a_restore(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The nightly backup is made between the device's answer and its packets; all it has comes back nevertheless."""
    counter.deliver(1)
    monday = backup()
    counter.deliver(2, 3)
    monday.restore()
    counter.round()
    comes(counter, "line", an_empty_batch(counter))
    tuesday = backup()
    counter.rounds(3)
    assert stored_places(office) == [1, 2, 3]
    tuesday.restore()
    counter.rounds(4)
    office.clock.advance(days=1)
    counter.rounds(4)
    assert stored_places(office) == [1, 2, 3]


def test_another_history_that_came_into_an_empty_place_is_found_out_by_the_true_one(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """A clone fills a place that is gone; the packet that proves the next place does not follow from it: an alarm."""
    counter.deliver(1)
    before = backup()
    lost = [counter.claim(2)]
    counter.round()
    lost.append(counter.claim(3))
    true_third = envelope_of(counter, lost[1])
    counter.round()
    counter.purge()
    before.restore()
    counter.rounds(2)
    declare_gone(counter)
    counter.deliver(4)
    first = counter.outbox.rows()[-1]
    chain = counter.keys.chains[Lane.CORE]
    chain.epoch, chain.next_seq, chain.head = lost[0].epoch, 2, first.digest
    assert carried(counter, counter.keys.seal(number=9)) == [(Verdict.ACCEPTED, None)]
    assert carried(counter, true_third) == [(Verdict.ACCEPTED, None)]
    assert ("fork", "core", 2, None) in alarms(office)


def test_more_places_than_any_device_seals_are_not_declared_gone(
    counter: Counter, office: Office, backup: Callable[[], Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that names billions is asked for a few thousand and no more, and people are told to look at it."""
    monkeypatch.setattr("head_office.missing.RESEND_AT_MOST", 2)
    monkeypatch.setattr("head_office.missing.MOST_GONE", 3)
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3, 4, 5, 6, 7, 8)
    counter.purge()
    before.restore()
    counter.rounds(8)
    assert len(CommandQueue(office.ledger).listed()) == 2
    with pytest.raises(TooManyPlacesError, match="2 to 8 are 7 places"):
        places(office).ask(only(office).number, "cadangan", by="ayu")


def test_who_had_the_device_asked_once_more_is_on_record(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The first question is the program's, the second a person's."""
    lose_two(counter, backup)
    counter.rounds(2)
    places(office).ask(only(office).number, "cadangan", by="ayu")
    assert [row["queued_by"] for row in CommandQueue(office.ledger).listed()] == ["ayu", "program"]


def test_a_gap_that_the_devices_own_count_contradicts_is_no_answer(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """Somebody on the way takes packets out of a batch: its signed count says that there are lower ones."""
    counter.deliver(1)
    before = backup()
    counter.deliver(2, 3)
    before.restore()
    counter.round()
    fourth = envelope_of(counter, counter.claim(4))
    checkpoint = counter.uploader.checkpoint(counter.clock.utc())
    office.ingest.receive(counter.keys.tls_certificate, sign_batch(checkpoint, [fourth], counter.keys.signer))
    assert only(office).state is MissingState.ASKED_AGAIN
    counter.round()
    assert stored_places(office) == [1, 2, 3, 4]


def test_a_replaced_key_fills_no_empty_place(counter: Counter, office: Office, backup: Callable[[], Backup]) -> None:
    """Somebody may have a copy of it: what nothing but it speaks for is held, and nobody's desk shows it."""
    first = counter.deliver(1)[0]
    before = backup()
    counter.deliver(2, 3)
    counter.purge()
    before.restore()
    counter.rounds(2)
    declare_gone(counter)
    counter.deliver(4)
    with office.ledger.transaction() as tx:
        tx.execute("UPDATE certificates SET superseded_at = 1 WHERE purpose = 'signing'")
        tx.execute(
            "INSERT INTO certificates (fingerprint, device_id, purpose, kid, spki, certificate, not_before, not_after,"
            " key_no) SELECT ?, device_id, purpose, ?, spki, certificate, not_before, not_after, 2 FROM certificates"
            " WHERE purpose = 'signing'",
            (b"newer", b"newer key, no 2."),
        )
        tx.execute(
            "INSERT INTO key_bounds (device_id, key_no, lane, epoch, next_seq) VALUES (?, 2, 'core', ?, 5)",
            (counter.keys.device_id, first.epoch),
        )
    chain = counter.keys.chains[Lane.CORE]
    chain.epoch, chain.next_seq, chain.head = first.epoch, 2, first.digest
    assert carried(counter, counter.keys.seal(number=9)) == [(Verdict.QUARANTINED, "old_key")]
    assert stored_places(office) == [1, 4]


def test_a_question_in_the_backup_that_names_too_few_places_is_not_the_last_one(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The device made more since, delivered and purged it all, and has nothing to send: all of it is named."""
    counter.deliver(1)
    first = backup()
    counter.deliver(2)
    first.restore()
    counter.hears = False
    counter.round()
    with_question = backup()
    counter.hears = True
    counter.rounds(2)
    counter.deliver(3)
    counter.purge()
    with_question.restore()
    counter.rounds(4)
    assert (only(office).first, only(office).last, only(office).state) == (2, 3, MissingState.NOT_ON_DEVICE)


def test_a_rotten_packet_that_waits_for_ever_hides_no_missing_places(
    counter: Counter, office: Office, backup: Callable[[], Backup]
) -> None:
    """The last one of a chain that ended: it is in every batch, counted with what waits, and of no other chain."""
    counter.deliver(1)
    rot(counter.database, counter.claim(2).id)
    counter.rounds(3)
    counter.outbox.new_epoch(Lane.CORE)
    counter.deliver(3)
    before = backup()
    counter.deliver(4, 5)
    counter.purge()
    before.restore()
    counter.claim(6)
    counter.rounds(6)
    assert (only(office).first, only(office).last, only(office).state) == (2, 3, MissingState.NOT_ON_DEVICE)
    declare_gone(counter)
    counter.rounds(2)
    assert [row["kpj"][-1] for row in office.claims()] == ["1", "3", "6"]
