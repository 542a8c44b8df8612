"""The ledger's promises about its file: settings, one writer, damage found at start, rights."""

import multiprocessing
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from head_office.errors import HomeError, LedgerBrokenError, LedgerBusyError, LedgerFullError, LedgerSettingsError
from head_office.ledger.choice import LedgerChoice
from head_office.ledger.migrations.apply import HERE, newest
from head_office.ledger.sqlite import MOST_TOGETHER, SqliteLedger, _Turn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def add_alarms(file: Path, count: int) -> None:
    ledger = SqliteLedger(file)
    for _ in range(count):
        with ledger.transaction() as tx:
            n = tx.execute("SELECT count(*) AS n FROM alarms")[0]["n"]
            tx.execute("INSERT INTO alarms (at, device_id, kind) VALUES (?, 'd', 'k')", (n,))
    ledger.close()


def test_durability_settings_are_in_force_on_every_open(file: Path) -> None:
    """Write-ahead log and full flushing hold the second time as well, on the connection that writes."""
    for _ in range(2):
        ledger = SqliteLedger(file)
        with ledger.transaction() as tx:
            assert tx.execute("PRAGMA synchronous")[0][0] == 2
            assert tx.execute("PRAGMA journal_mode")[0][0] == "wal"
            assert tx.execute("PRAGMA wal_autocheckpoint")[0][0] == 0
        ledger.close()


def test_a_setting_that_does_not_take_stops_the_start(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite cannot give full flushing, head office does not run at all."""
    monkeypatch.setattr("head_office.ledger.sqlite.SETTINGS", (("synchronous", "7"),))
    with pytest.raises(LedgerSettingsError) as caught:
        SqliteLedger(file)
    assert caught.value.setting == "synchronous"


def test_the_file_is_for_its_owner_only(file: Path) -> None:
    """Claims hold personal data: nobody else on the machine reads the file or its log."""
    ledger = SqliteLedger(file)
    with ledger.transaction() as tx:
        tx.execute("INSERT INTO alarms (at, device_id, kind) VALUES (1, 'd', 'k')")
    for part in file.parent.iterdir():
        assert not part.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), part.name
    ledger.close()


def test_processes_that_write_at_once_lose_nothing(file: Path) -> None:
    """Service, worker and admin commands are separate processes; their writes go one after the other."""
    SqliteLedger(file).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_alarms, args=(file, 40)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    ledger = SqliteLedger(file)
    ledger.check()
    assert [row["at"] for row in ledger.read("SELECT at FROM alarms ORDER BY alarm_no")] == list(range(120))
    ledger.close()


def test_a_lock_that_is_never_let_go_ends_in_an_error_and_not_in_a_hang(file: Path) -> None:
    """A writer that stands still costs the others a refusal they can repeat."""
    holder, waiter = SqliteLedger(file), SqliteLedger(file, write_wait_s=0.05)
    with holder.transaction(), pytest.raises(LedgerBusyError), waiter.transaction():
        pass
    with waiter.transaction() as tx:
        tx.execute("SELECT 1")
    waiter.close()
    holder.close()


def test_threads_share_one_ledger(file: Path) -> None:
    """Requests are answered by several threads over one ledger."""
    ledger = SqliteLedger(file)

    def write() -> None:
        for _ in range(25):
            with ledger.transaction() as tx:
                n = tx.execute("SELECT count(*) AS n FROM alarms")[0]["n"]
                tx.execute("INSERT INTO alarms (at, device_id, kind) VALUES (?, 'd', 'k')", (n,))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["at"] for row in ledger.read("SELECT at FROM alarms ORDER BY alarm_no")] == list(range(100))
    ledger.close()


def test_batches_that_wait_together_share_one_flush(file: Path) -> None:
    """While one commit is under way others queue; the next one takes all of them along."""

    class Counting(SqliteLedger):
        flushes = 0

        def _commit(self) -> None:
            self.flushes += 1
            super()._commit()

    ledger = Counting(file)

    def write(number: int) -> None:
        ledger.together(
            lambda tx: tx.execute("INSERT INTO alarms (at, device_id, kind) VALUES (?, 'd', 'k')", (number,))
        )

    threads = [threading.Thread(target=write, args=(number,)) for number in range(10)]
    with ledger.transaction() as tx:
        tx.execute("SELECT 1")
        for thread in threads:
            thread.start()
        while len(ledger._turns) < len(threads):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert ledger.flushes == 2
    assert len(ledger.read("SELECT * FROM alarms")) == 10
    ledger.close()


def test_behind_a_crowd_nobody_is_answered_with_nothing(file: Path) -> None:
    """More wait than one flush takes: whoever does the work goes on until its own is done."""
    ledger = SqliteLedger(file)
    crowd = [_Turn(lambda tx: tx.execute("SELECT 1")) for _ in range(MOST_TOGETHER + 5)]
    ledger._turns.extend(crowd)
    assert ledger.together(lambda tx: int(tx.execute("SELECT 7 AS x")[0]["x"])) == 7
    assert all(turn.done for turn in crowd)
    ledger.close()


def test_a_row_that_is_there_already_costs_its_own_work_alone(file: Path) -> None:
    """Two works share a flush, and one of them breaks a rule of a table: the other one's row is kept."""
    ledger = SqliteLedger(file)
    insert = "INSERT INTO desk_users (name, password_hash, added_at) VALUES (?, 'h', 1)"
    ledger.together(lambda tx: tx.execute(insert, ("somebody",)))
    said: dict[str, object] = {}

    def add(name: str) -> None:
        try:
            ledger.together(lambda tx: tx.execute(insert, (name,)))
        except LedgerBusyError as error:
            said[name] = error

    threads = [threading.Thread(target=add, args=(name,)) for name in ("one", "somebody", "two")]
    with ledger.transaction():
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(ledger._turns) < number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert list(said) == ["somebody"]
    assert [row["name"] for row in ledger.read("SELECT name FROM desk_users ORDER BY name")] == [
        "one",
        "somebody",
        "two",
    ]
    ledger.close()


def test_a_full_disk_under_a_shared_flush_refuses_all_of_it(file: Path) -> None:
    """Nobody gets a receipt for what did not become durable; afterwards the ledger goes on."""

    class Full(SqliteLedger):
        full = True

        def _commit(self) -> None:
            if self.full:
                raise LedgerFullError("database or disk is full")
            super()._commit()

    ledger = Full(file)
    insert = "INSERT INTO alarms (at, device_id, kind) VALUES (1, 'd', 'k')"
    for _ in range(2):
        with pytest.raises(LedgerFullError):
            ledger.together(lambda tx: tx.execute(insert))
    assert ledger.read("SELECT * FROM alarms") == []
    ledger.full = False
    ledger.together(lambda tx: tx.execute(insert))
    assert len(ledger.read("SELECT * FROM alarms")) == 1
    ledger.close()


@pytest.mark.parametrize("address", ["host=db dbname=mpos user=ho", "dbname=mpos", "/var/lib/led ger.db", "a\nb"])
def test_words_for_another_program_open_no_sqlite_file(address: str) -> None:
    """libpq's "host=… dbname=…" is a legal file name: taken for one, all claims would be in a file nobody meant."""
    with pytest.raises(HomeError):
        LedgerChoice(address=address)


def test_an_act_that_raises_leaves_nothing_behind(file: Path) -> None:
    """A transaction is all or nothing."""
    ledger = SqliteLedger(file)

    def insert_and_fail() -> None:
        with ledger.transaction() as tx:
            tx.execute("INSERT INTO alarms (at, device_id, kind) VALUES (1, 'd', 'k')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    assert ledger.read("SELECT * FROM alarms") == []
    ledger.close()


def test_damage_is_found_when_the_service_starts(file: Path) -> None:
    """A ledger with spoilt pages is not served from."""
    add_alarms(file, 200)
    content = bytearray(file.read_bytes())
    for at in range(8192, len(content) - 100, 4096):
        content[at : at + 64] = b"\xff" * 64
    file.write_bytes(content)
    with pytest.raises(LedgerBrokenError):
        SqliteLedger(file).check()


def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path) -> None:
    """Nothing is ever recreated over what is there."""
    file.write_bytes(b"not a database, but somebody's data " * 200)
    before = file.read_bytes()
    with pytest.raises(LedgerBrokenError):
        SqliteLedger(file)
    assert file.read_bytes() == before


def test_each_revision_is_applied_once_and_recorded(file: Path) -> None:
    """Opening an up-to-date ledger changes nothing."""
    for _ in range(2):
        SqliteLedger(file).close()
    with sqlite3.connect(file) as reader:
        assert reader.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest(),)]


def test_revisions_stand_in_one_line_in_the_order_of_their_names() -> None:
    """Two people who each add a revision find out here, and not when a ledger is opened."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [newest()]
    line = [revision.revision for revision in script.walk_revisions()]
    assert line == sorted(line, reverse=True)
    assert [Path(script.get_revision(name).path).stem for name in line] == line
