"""A PostgreSQL server of one's own for tests: made in a temporary folder, reached by a Unix socket, thrown away."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from head_office.ledger.postgres import PostgresLedger

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


class Cluster:
    """One server. Its durability settings are the real ones: what is tested must flush."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mpos-pg-"))
        self._as_user: dict[str, object] = {}
        if os.getuid() == 0:
            # The server refuses to run as root.
            entry = next(e for name in ("postgres", "nobody") for e in pwd.getpwall() if e.pw_name == name)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._run(
            "initdb", "-D", self.folder / "data", "-U", "mpos", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"
        )
        self._made = 0
        self._free: list[str] = []
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [PROGRAMS / program, *map(str, arguments)],
            check=True, capture_output=True, timeout=60, cwd=self.folder, **self._as_user,
        )  # type: ignore[call-overload]  # fmt: skip

    def start(self) -> None:
        options = (
            "listen_addresses=",
            f"unix_socket_directories={self.folder}",
            "shared_buffers=32MB",
            "log_min_messages=fatal",
        )
        log = (self.folder / "log").open("ab")
        self.server = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", str(self.folder / "data"), *(x for o in options for x in ("-c", o))],
            stdout=log, stderr=log, cwd=self.folder, **self._as_user,
        )  # type: ignore[call-overload]  # fmt: skip
        log.close()
        # A new cluster is up in a tenth of a second, one that recovers from a crash in one; a minute is a fault.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.address("postgres")).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """The server dies at once, as in a power cut of the machine; its children notice and end too."""
        self.server.send_signal(signal.SIGQUIT)  # "immediate shutdown": no checkpoint, recovery at the next start
        self.server.wait(30)

    def stop(self) -> None:
        if self.server.poll() is None:
            self.kill()  # in order it would write out what is thrown away in the next line
        shutil.rmtree(self.folder)

    def address(self, database: str) -> str:
        return f"postgresql://mpos@/{database}?host={quote(str(self.folder), safe='')}"

    def database(self) -> str:
        """The address of an empty database with the schema in it."""
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"ledger_{self._made}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            if self._made == 1:
                connection.execute("CREATE DATABASE with_schema")
                PostgresLedger(self.address("with_schema")).close()
            connection.execute(f"CREATE DATABASE {name} TEMPLATE with_schema")
        return self.address(name)

    def give_back(self, address: str) -> None:
        """Empty a database for the next test: a new one would cost a tenth of a second and 8 MB each time."""
        with psycopg.connect(address) as connection:
            connection.execute("SET session_replication_role = replica")  # no foreign keys: any order will do
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND relnamespace = 'public'::regnamespace AND relname NOT IN ('alembic_version', 'numbers')"
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"DELETE FROM {table}")
            connection.execute("UPDATE numbers SET last_no = CASE name WHEN 'agenda' THEN 1000000 ELSE 0 END")
            for (sequence,) in connection.execute("SELECT sequencename FROM pg_sequences").fetchall():
                connection.execute(f"ALTER SEQUENCE {sequence} RESTART")
        self._free.append(address)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The session's server; skipped where PostgreSQL is not installed."""
    if not (PROGRAMS / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed: its ledger is not tested (package postgresql-15)")
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger_address(request: pytest.FixtureRequest) -> Iterator[Callable[[], str | None]]:
    """Gives the address of a new ledger each time it is called; None means the SQLite file of the folder."""
    if request.param == "sqlite":
        yield lambda: None
        return
    server: Cluster = request.getfixturevalue("cluster")
    taken: list[str] = []

    def new() -> str:
        taken.append(server.database())
        return taken[-1]

    yield new
    for address in taken:
        server.give_back(address)
