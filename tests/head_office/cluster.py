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
            self.server.send_signal(signal.SIGINT)
            self.server.wait(30)
        shutil.rmtree(self.folder)

    def address(self, database: str) -> str:
        return f"postgresql://mpos@/{database}?host={quote(str(self.folder), safe='')}"

    def database(self) -> str:
        """The address of a new, empty database; all but the first are copies of one with the schema in it."""
        self._made += 1
        name = f"ledger_{self._made}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            if self._made == 1:
                connection.execute("CREATE DATABASE with_schema")
                PostgresLedger(self.address("with_schema")).close()
            connection.execute(f"CREATE DATABASE {name} TEMPLATE with_schema")
        return self.address(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The session's server; skipped where PostgreSQL is not installed."""
    if not (PROGRAMS / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed: its ledger is not tested (package postgresql-15)")
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger_address(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """Gives the address of a new ledger each time it is called; None means the SQLite file of the folder."""
    if request.param == "sqlite":
        return lambda: None
    server: Cluster = request.getfixturevalue("cluster")
    return server.database
