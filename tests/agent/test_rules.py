"""Tables and policy from head office: checked before they are taken, and the old ones stay on the slightest fault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import matcher
from config.tables import load_tables, table_bytes, tables_folder
from mpos_agent.audit import Act, AuditLog
from mpos_agent.clock import AgentClock
from mpos_agent.rules import Rules
from sync import commands as wire
from sync.commands import CommandName, Policy, Table, TableName, Tables
from sync.edge.clock import HeadOfficeTime
from sync.edge.commands import Commands
from sync.edge.database import Database
from tests.sync.edge.conftest import HandClock

SITE = {
    "capture_timeout_s": 30.0,
    "send_chip_photo": True,
    "draft_lifetime_h": 24.0,
    "accept_test_identities": True,
}
LATER = b'version = "2027-01-15"\n'


class Machine:
    """The rules of one machine, over restarts and with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "agent.db"
        self.folder: Path | None = None
        self.site = dict(SITE)
        self.start()

    def start(self) -> None:
        clock = HandClock()
        self.database = Database(self.path)
        self.audit = AuditLog(self.database, AgentClock(clock, HeadOfficeTime(self.database, clock)))
        self.rules = Rules(
            self.database,
            clock,
            self.audit,
            folder=self.folder,
            site=self.site,
            threshold=lambda name: matcher.THRESHOLDS[name],
        )
        self.commands = Commands(
            self.database,
            clock,
            {CommandName.TABLES: self.rules.take_tables, CommandName.POLICY: self.rules.take_policy},
        )

    def restart(self) -> None:
        self.database.close()
        self.start()

    def take(self, number: int, body: wire.Body) -> str:
        """What head office would hear: "done", or the reason with its detail."""
        taken = self.commands.take([wire.make(bytes([number]) * 16, body)])
        return "done" if taken.done else f"{taken.refused[0].reason}: {taken.refused[0].detail}"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.database.close()


def dated(name: TableName, date: str = "2027-01-15", **words: str) -> Table:
    """The program's own table, of another date and with words exchanged."""
    content = table_bytes(name)
    old = next(line for line in content.splitlines() if line.startswith(b"version"))
    content = content.replace(old, f'version = "{date}"'.encode())
    for before, after in words.items():
        assert before.encode() in content
        content = content.replace(before.encode(), after.encode())
    return Table.of(name, content)


def test_a_new_table_counts_from_the_next_claim_on(machine: Machine) -> None:
    """It is taken with its command, told when asked, and is still there after a restart."""
    before = machine.rules.now.tables
    order = Tables(tables=(dated(TableName.PROVINCES, Kalimantan="Borneo"),))
    assert machine.rules.changed() is None
    assert machine.take(1, order) == "done"
    changed = machine.rules.changed()
    assert changed is not None
    assert changed.tables.version != before.version
    assert set(changed.tables.provinces.values()) != set(before.provinces.values())
    assert machine.rules.changed() is None
    machine.restart()
    assert machine.rules.now.tables == changed.tables
    assert [row.act for row in machine.audit.rows()] == [Act.TABLES_TAKEN.value]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (Table.of(TableName.BANKS, LATER + b"bank = [[["), "invalid_tables: banks.toml  is not valid TOML"),
        (Table.of(TableName.BANKS, LATER), "invalid_tables: banks.toml bank is missing"),
        (Table.of(TableName.BANKS, b"x = 1"), "invalid_tables: banks.toml version is missing"),
        (Table.of(TableName.BANKS, b'version = "zzz"'), "invalid_tables: banks.toml version is not a date"),
        (dated(TableName.DOCUMENTS, DEATH_CERTIFICATE="DEATH_PAPER"), "invalid_tables: reasons.toml"),
        (dated(TableName.FALLBACK, NO_CHIP="WITHOUT_CHIP"), "invalid_tables: fallback.toml NO_CHIP is missing"),
        (dated(TableName.BANKS, date="2020-01-01"), "older_tables: banks"),
    ],
    ids=["no TOML", "no rows", "no version", "no date", "unknown code", "code of the program", "older"],
)
def test_a_table_that_does_not_hold_is_refused_with_file_and_key(machine: Machine, table: Table, told: str) -> None:
    """All or none: a good table beside it is not taken either, and claims go on by the old ones."""
    before = machine.rules.now
    good = dated(TableName.KANWIL)
    assert machine.take(1, Tables(tables=(good, table))).startswith(told)
    assert machine.rules.changed() is None
    machine.restart()
    assert machine.rules.now == before
    assert machine.take(2, Tables(tables=(good,))) == "done"


def test_an_older_order_does_not_undo_a_newer_one(machine: Machine) -> None:
    """A receipt that lay on a stick for a month brings yesterday's table: today's stays."""
    assert machine.take(1, Tables(tables=(dated(TableName.KANWIL, date="2027-02-01"),))) == "done"
    assert machine.take(2, Tables(tables=(dated(TableName.KANWIL, date="2027-01-01"),))) == "older_tables: kanwil"


def test_a_newer_program_brings_its_own_tables_back(machine: Machine, tmp_path: Path) -> None:
    """Of each table the later version counts, head office's or the machine's."""
    machine.take(1, Tables(tables=(dated(TableName.KANWIL, date="2027-02-01"),)))
    ours = tmp_path / "tables"
    ours.mkdir()
    for file in tables_folder().glob("*.toml"):
        (ours / file.name).write_bytes(file.read_bytes())
    (ours / "kanwil.toml").write_bytes(dated(TableName.KANWIL, date="2027-03-01").toml())
    machine.folder = ours
    machine.restart()
    assert machine.rules.now.tables == load_tables(ours)


def test_tables_that_no_longer_fit_the_program_do_not_stop_the_counter(machine: Machine) -> None:
    """After an update that asks more of a table, claims go on with the program's own."""
    machine.take(1, Tables(tables=(dated(TableName.KANWIL),)))
    with machine.database.transaction() as tx:
        tx.execute("UPDATE rules_received SET content = ?", (LATER,))
    machine.restart()
    assert machine.rules.now.tables == load_tables()


def test_a_policy_sets_what_it_names_and_nothing_else(machine: Machine) -> None:
    """The last one counts alone: what it leaves out is as the tables say again."""
    own = machine.rules.now.policy
    assert machine.take(1, Policy(attempts_per_finger=2, threshold_id="FMR_0.001%")) == "done"
    first = machine.rules.changed()
    assert first is not None
    assert (first.policy.attempts_per_finger, first.policy.threshold_id) == (2, "FMR_0.001%")
    assert machine.take(2, Policy(minimum_quality=40)) == "done"
    machine.restart()
    second = machine.rules.now.policy
    assert (second.attempts_per_finger, second.minimum_quality) == (own.attempts_per_finger, 40)


def test_a_threshold_the_matcher_does_not_have_is_refused(machine: Machine) -> None:
    """Nobody's finger is compared with a number nobody calibrated."""
    assert machine.take(1, Policy(threshold_id="FMR_7%")) == "invalid_policy: threshold_id FMR_7%"
    assert machine.rules.changed() is None


@pytest.mark.parametrize(("site", "ordered", "sent"), [(True, False, False), (False, True, False), (True, True, True)])
def test_a_photo_travels_only_where_site_and_head_office_let_it(
    machine: Machine, site: bool, ordered: bool, sent: bool
) -> None:
    """What one of the two keeps back, the other does not send."""
    machine.site["send_chip_photo"] = site
    machine.restart()
    machine.take(1, Policy(send_chip_photo=ordered))
    machine.restart()
    assert machine.rules.now.policy.send_chip_photo is sent
