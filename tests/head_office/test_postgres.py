"""What the ledger promises when its database server stops, forgets, waits or answers too late."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from head_office.errors import (
    HomeError,
    LedgerAwayError,
    LedgerBusyError,
    LedgerSettingsError,
    LedgerUnknownError,
)
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys
from head_office.ledger.base import LOCK_DEVICE, Question
from head_office.ledger.choice import LedgerChoice, open_ledger, write_choice
from head_office.ledger.postgres import PostgresLedger, shown, with_places
from head_office.opening import Opener
from sync.receipt import Verdict
from tests.head_office.cluster import Cluster
from tests.head_office.conftest import Office

INSERT = "INSERT INTO alarms (at, device_id, kind) VALUES (?, 'd', 'k')"


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    made = cluster.database()
    yield made
    cluster.give_back(made)


def count(ledger: PostgresLedger) -> int:
    return int(ledger.read("SELECT count(*) AS n FROM alarms")[0]["n"])


def setting(cluster: Cluster, statement: str) -> None:
    """Change a server's setting for everybody, as an administrator would."""
    with psycopg.connect(cluster.address("postgres"), autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_sleep(0.2)")  # the reload reaches new connections within this


class LosingProxy:
    """Between ledger and server: passes everything on until COMMIT, then loses it, or the answer to it."""

    def __init__(self, cluster: Cluster, folder: Path, *, answer_only: bool) -> None:
        self._server = str(cluster.folder / ".s.PGSQL.5432")
        self.folder, self._answer_only = folder, answer_only
        self.losing = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def address(self, address: str) -> str:
        return f"{address.partition('?')[0]}?host={quote(str(self.folder), safe='')}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            lost = threading.Event()
            threading.Thread(target=self._forth, args=(client, server, lost), daemon=True).start()
            threading.Thread(target=self._back, args=(client, server, lost), daemon=True).start()

    def _forth(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with client, server:
            while data := client.recv(1 << 16):
                if self.losing and b"COMMIT" in data:
                    lost.set()
                    if not self._answer_only:
                        break
                server.sendall(data)
            for end in (client, server):
                end.shutdown(socket.SHUT_RDWR)

    def _back(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        try:
            while data := server.recv(1 << 16):
                if lost.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("answer_only", [True, False], ids=["the answer is lost", "COMMIT is lost"])
def test_a_commit_nobody_knows_the_end_of_gives_no_receipt_and_is_settled_by_the_repeat(
    home: Home, cluster: Cluster, address: str, tmp_path: Path, answer_only: bool
) -> None:
    """The device hears "later"; its repeat is a duplicate, or is taken now: stored once in both cases."""
    folder = tmp_path / "p"
    folder.mkdir()
    proxy = LosingProxy(cluster, folder, answer_only=answer_only)
    write_choice(home, LedgerChoice(address=proxy.address(address)))
    office = Office(home)
    device = office.device()
    packet = device.seal(number=1)
    proxy.losing = True
    with pytest.raises(LedgerUnknownError) as caught:
        office.receive(device, packet)
    assert caught.value.status == 503
    proxy.losing = False
    expected = Verdict.DUPLICATE if answer_only else Verdict.ACCEPTED
    assert office.receive(device, packet).verdicts[0].verdict is expected
    assert office.stored() == [packet]
    office.ledger.close()
    proxy.close()


def test_a_server_that_dies_between_two_batches_is_found_again(cluster: Cluster, address: str) -> None:
    """Connections that lay idle are dead; the next transaction and the next query make new ones by themselves."""
    ledger = PostgresLedger(address)
    for number in range(2):
        with ledger.transaction() as tx:
            tx.execute(INSERT, (number,))
        cluster.kill()
        cluster.start()
        assert count(ledger) == number + 1
    ledger.close()


def test_a_server_that_dies_between_two_batches_is_found_again_at_the_first_question(
    cluster: Cluster, address: str
) -> None:
    """Also where a batch begins with several questions in one go."""
    ledger = PostgresLedger(address)
    asked = [(LOCK_DEVICE, ("D-1",)), ("SELECT 7 AS x", ())]
    assert ledger.together_after(asked, lambda tx, answers: answers[1][0]["x"]) == 7
    for _ in range(2):
        cluster.kill()
        cluster.start()
        assert ledger.together_after(asked, lambda tx, answers: answers[1][0]["x"]) == 7
        cluster.kill()
        cluster.start()
        assert ledger.read_all(asked[1:])[0][0]["x"] == 7
    # The server's last word to an idle connection is read as soon as something is asked.
    other = PostgresLedger(address)
    with other.transaction() as tx:
        tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND application_name = 'mpos-head-office'"
        )
    assert ledger.together_after(asked, lambda tx, answers: answers[1][0]["x"]) == 7
    other.close()
    ledger.close()


def test_a_primary_that_may_write_no_more_is_left_at_the_first_question(address: str) -> None:
    """After a switch-over its old connections are closed, and the device is told to come again."""
    ledger = PostgresLedger(address)
    asked: list[Question] = [(LOCK_DEVICE, ("D-1",))]
    ledger.read("SET default_transaction_read_only = on")
    with pytest.raises(LedgerAwayError):
        ledger.together_after(asked, lambda tx, answers: None)
    assert ledger.together_after(asked, lambda tx, answers: list(answers)) == [[]]
    ledger.close()


def test_a_server_that_dies_inside_a_transaction_stored_nothing(cluster: Cluster, address: str) -> None:
    """Before COMMIT the outcome is certain: not stored, try later."""
    ledger = PostgresLedger(address)

    def cut_short() -> None:
        with ledger.transaction() as tx:
            tx.execute(INSERT, (1,))
            cluster.kill()
            tx.execute(INSERT, (2,))

    with pytest.raises(LedgerAwayError):
        cut_short()
    with pytest.raises(LedgerAwayError):
        ledger.read("SELECT 1")
    cluster.start()
    assert count(ledger) == 0
    ledger.close()


def test_a_commit_the_standby_never_confirmed_is_not_taken_for_one(cluster: Cluster, address: str) -> None:
    """The server gives up waiting and says COMMIT all the same, with a warning: no receipt rests on that."""
    ledger = PostgresLedger(address, commit_s=0.3)
    setting(cluster, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        with pytest.raises(LedgerUnknownError, match="warning"), ledger.transaction() as tx:
            tx.execute(INSERT, (1,))
    finally:
        setting(cluster, "ALTER SYSTEM RESET synchronous_standby_names")
    with ledger.transaction() as tx:
        tx.execute(INSERT, (2,))
    ledger.close()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_flush_is_refused(cluster: Cluster, address: str, name: str) -> None:
    """Asked on each connection: also of the one a failover leads to."""
    ledger = PostgresLedger(address)
    setting(cluster, f"ALTER SYSTEM SET {name} = off")
    try:
        with pytest.raises(LedgerSettingsError) as caught:
            PostgresLedger(address)
        with pytest.raises(LedgerSettingsError):
            ledger.check()
    finally:
        setting(cluster, f"ALTER SYSTEM RESET {name}")
    assert (caught.value.setting, caught.value.got) == (name, "off")
    ledger.close()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_weaker_commits_cannot_be_asked_for(address: str, value: str) -> None:
    """A receipt means flushed, here and on the standby."""
    with pytest.raises(LedgerSettingsError):
        PostgresLedger(address, synchronous_commit=value)


def test_the_database_cannot_weaken_a_commit_behind_our_back(cluster: Cluster, address: str) -> None:
    """A default of the database is set over on each connection and read back."""
    name = address.partition("?")[0].rpartition("/")[2]
    setting(cluster, f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        for wanted in ("on", "remote_apply"):
            ledger = PostgresLedger(address, synchronous_commit=wanted)
            assert ledger.read("SHOW synchronous_commit")[0][0] == wanted
            ledger.close()
    finally:
        setting(cluster, f"ALTER DATABASE {name} RESET synchronous_commit")


def test_packets_lie_in_sixteen_partitions_and_are_not_compressed(address: str) -> None:
    """By device; ciphertext is stored as it came."""
    ledger = PostgresLedger(address)
    rows = ledger.read(
        "SELECT a.attstorage AS how FROM pg_inherits i JOIN pg_attribute a ON a.attrelid = i.inhrelid"
        " WHERE i.inhparent = 'packets'::regclass AND a.attname = 'envelope'"
    )
    assert [row["how"] for row in rows] == ["e"] * 16
    ledger.close()


def test_two_processes_that_start_at_once_make_one_schema(cluster: Cluster) -> None:
    """On an empty database: both come up, each revision is applied once."""
    with psycopg.connect(cluster.address("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one")
    failed: list[BaseException] = []

    def start() -> None:
        try:
            PostgresLedger(cluster.address("empty_one")).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_several_workers_open_each_packet_once(home: Home, address: str) -> None:
    """Three openers at once: every claim on the desk, none twice, agenda numbers without a gap."""
    write_choice(home, LedgerChoice(address=address))
    office = Office(home)
    device = office.device()
    office.receive(device, *(device.seal(number=n) for n in range(1, 31)))
    opened: list[int] = []

    def work() -> None:
        ledger = open_ledger(home)
        opener = Opener(ledger, load_private_keys(home), clock=office.clock)
        mine = 0
        while looked := opener.open_waiting(4):
            mine += looked
        opened.append(mine)
        ledger.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = office.claims()
    assert sorted(row["kpj"] for row in rows) == [f"99ZZ{n:07d}" for n in range(1, 31)]
    assert [row["agenda_no"] for row in rows] == list(range(1_000_001, 1_000_031))
    assert sum(opened) == 30
    office.ledger.close()


def test_a_worker_leaves_alone_what_another_has_in_hand(home: Home, address: str) -> None:
    """Rows somebody holds are skipped, not waited for."""
    write_choice(home, LedgerChoice(address=address))
    office = Office(home)
    device = office.device()
    office.receive(device, device.seal(number=1), device.seal(number=2))
    with office.ledger.transaction() as tx:
        tx.execute("SELECT 1 FROM packets WHERE receipt_no = ? FOR UPDATE", (1,))
        assert office.opener.open_waiting() == 1
    assert [row["kpj"] for row in office.claims()] == ["99ZZ0000002", "99ZZ0000001"]
    office.ledger.close()


def test_places_are_put_in_outside_of_quotes_only() -> None:
    """One spot turns our places into the driver's."""
    assert with_places("SELECT '?%''?' FROM t WHERE a = ? AND b LIKE '%x' AND c % 2 = ?") == (
        "SELECT '?%%''?' FROM t WHERE a = %s AND b LIKE '%%x' AND c %% 2 = %s"
    )


def test_a_password_is_neither_in_the_address_nor_in_a_message(tmp_path: Path) -> None:
    """What a process was started with, everybody can read."""
    for told in ("postgresql://mpos:geheim@node/mpos", "postgresql://mpos@node/mpos?password=geheim"):
        with pytest.raises(HomeError) as caught:
            LedgerChoice(address=told)
        assert "geheim" not in str(caught.value)
    assert shown("postgresql://mpos:geheim@node/mpos?x=1") == "postgresql://node/mpos"
    file = tmp_path / "password"
    file.write_text("geheim\n")
    file.chmod(0o644)
    with pytest.raises(HomeError, match="open to other users"):
        PostgresLedger("postgresql://mpos@127.0.0.1:1/mpos", password_file=file)
    file.chmod(0o600)
    with pytest.raises(LedgerAwayError) as away:
        PostgresLedger("postgresql://mpos@127.0.0.1:1/mpos", password_file=file)
    assert "geheim" not in str(away.value)


def test_a_row_somebody_holds_is_waited_for_and_not_for_ever(address: str) -> None:
    """A writer that stands still costs the others a refusal they can repeat."""
    holder, waiter = PostgresLedger(address), PostgresLedger(address, lock_ms=100)
    with holder.transaction() as tx:
        tx.execute("UPDATE numbers SET last_no = last_no WHERE name = 'acts'")
        with pytest.raises(LedgerBusyError), waiter.transaction() as other:
            other.execute("UPDATE numbers SET last_no = last_no WHERE name = 'acts'")
    with waiter.transaction() as other:
        other.execute("UPDATE numbers SET last_no = last_no WHERE name = 'acts'")
    holder.close()
    waiter.close()
