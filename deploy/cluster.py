#!/usr/bin/env python3
"""A head office of many parts on one machine: etcd, PostgreSQL nodes under Patroni, workers, nginx. For trials.

    deploy/cluster.py FOLDER [--nodes 3] [--workers 2] [--poll-s 60] [--asynchronous]

It takes the templates beside it, fills them in for 127.0.0.1 with ports and folders of its own, touches no system
service, and needs no root; started by root, everything runs as the user postgres. It says what happens as one JSON
object a line, reads commands from standard input, and takes everything down again at its end:

    status            which node is what
    hold-back         stop the primary's senders: from now on no standby hears of anything, until the primary is killed
    kill-primary      kill -9 of the primary's PostgreSQL; its Patroni and the machine live on
    kill-node         kill -9 of PostgreSQL and Patroni of the primary: the machine is gone
    kill-worker       kill -9 of one ingest worker
    heal              wait until every node runs and a standby is synchronous; a node that was killed is started again
    quit              or the end of standard input
"""

import argparse
import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOST = "127.0.0.1"
READY_S = 90.0  # initdb and two base backups take some fifteen seconds; a busy machine takes longer.
STOP_S = 15.0  # PostgreSQL's fast shutdown takes one; what stays longer is killed.
LOOK_S = 0.1
USER_AS_ROOT = "postgres"
DATABASE = ROLE = "mpos"


class ClusterError(Exception):
    """A part did not do what the trial needs; the message holds the end of its log."""


def say(what: str, **facts: object) -> None:
    """One line of what happens, at once."""
    print(json.dumps({"happened": what, "at": time.time(), **facts}), flush=True)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def postgres_programs() -> Path:
    """Where Debian keeps the server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ClusterError("no PostgreSQL server: apt install postgresql-15")
    return found[-1].parent


class Part:
    """One program, its log, and how it is ended."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        self._arguments, self._environment = list(arguments), dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, in a process group of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=self._environment,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal to the program alone."""
        if self.alive():
            assert self.process is not None
            self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and see to it."""
        if self.process is None:
            return
        self.kill(number)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


class Node:
    """One database node: a Patroni, and the PostgreSQL it keeps."""

    def __init__(self, name: str, folder: Path, port: int, rest_port: int) -> None:
        self.name, self.folder, self.port, self.rest_port = name, folder, port, rest_port
        self.part: Part | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.folder / "data"

    def state(self) -> dict[str, Any]:
        """What its Patroni says of it; empty when it does not answer."""
        try:
            # Two seconds: it answers in milliseconds or is not there.
            with urllib.request.urlopen(f"http://{HOST}:{self.rest_port}/patroni", timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, ValueError):
            return {}

    def postmaster(self) -> int | None:
        """The process id of its PostgreSQL, from the file it keeps."""
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None


class Cluster:
    """Everything, from templates to a head office that answers."""

    def __init__(self, folder: Path, nodes: int, workers: int, poll_s: int, *, asynchronous: bool) -> None:
        """``asynchronous`` is wrong on purpose, for trials of trials: a commit is acknowledged on one disk."""
        self.folder, self.workers_wanted, self.poll_s = folder, workers, poll_s
        self._asynchronous = asynchronous
        self._as = self._other_user()
        folder.mkdir(parents=True, exist_ok=True)
        ports = free_ports(3 + 2 * nodes)
        self.etcd_port, self.etcd_peer_port, self.https_port = ports[:3]
        self.nodes = [
            Node(f"node{at + 1}", folder / f"node{at + 1}", ports[3 + 2 * at], ports[4 + 2 * at]) for at in range(nodes)
        ]
        self.passwords = {name: secrets.token_urlsafe(18) for name in ("superuser", "replication", "rewind", "ledger")}
        self.home = folder / "head-office"
        self.parts: list[Part] = []
        self.workers: list[Part] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "ETCD", "PATRONI"))},
            "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin",
            "HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
            # An emulated or busy processor; etcd 3.4 on arm64 asks for it.
            "ETCD_UNSUPPORTED_ARCH": os.uname().machine.replace("aarch64", "arm64"),
        }

    @staticmethod
    def _other_user() -> list[str]:
        """PostgreSQL refuses root: how a program is started as somebody else."""
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={USER_AS_ROOT}", f"--regid={USER_AS_ROOT}", "--clear-groups"]

    def _own(self, path: Path) -> None:
        if self._as:
            who = pwd.getpwnam(USER_AS_ROOT)
            os.chown(path, who.pw_uid, who.pw_gid)

    def _folder(self, path: Path) -> Path:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own(path)
        return path

    def _file(self, path: Path, text: str, mode: int = 0o600) -> Path:
        path.touch(mode=mode)
        path.write_text(text)
        self._own(path)
        return path

    def _started(self, name: str, *arguments: str) -> Part:
        part = Part(name, [*self._as, *arguments], self.folder / "log" / f"{name}.log", self.environment)
        part.start()
        self.parts.append(part)
        return part

    def _wait(self, what: str, part: Part, ready: Any) -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            if not part.alive() or time.monotonic() > deadline:
                raise ClusterError(f"{what} did not get ready:\n{part.last_words()}")
            time.sleep(LOOK_S)

    # --- up -------------------------------------------------------------------------------------

    def up(self) -> None:
        """Start everything, in order; returns once head office answers through nginx."""
        self._own(self.folder)
        self._folder(self.folder / "log")
        self._start_etcd()
        self._start_nodes()
        self._make_database()
        self._found_head_office()
        for number in range(1, self.workers_wanted + 1):
            self._start_worker(number)
        self._start_nginx()
        say(
            "ready",
            url=f"https://{HOST}:{self.https_port}",
            home=str(self.home),
            ledger=self.ledger_address,
            password_file=str(self.password_file),
            primary=self.primary().name,
        )

    def _start_etcd(self) -> None:
        folder = self._folder(self.folder / "etcd")
        values = {
            "NAME": "etcd1",
            "DATA": str(folder / "data"),
            "ADDRESS": HOST,
            "CLIENT_PORT": str(self.etcd_port),
            "PEER_PORT": str(self.etcd_peer_port),
            "MEMBERS": f"etcd1=http://{HOST}:{self.etcd_peer_port}",
        }
        settings = self._file(folder / "etcd.yml", filled(HERE / "etcd" / "etcd.yml", values))
        part = self._started("etcd", "etcd", "--config-file", str(settings))
        self._wait("etcd", part, lambda: answers(f"http://{HOST}:{self.etcd_port}/health"))
        say("etcd", port=self.etcd_port)

    def _start_nodes(self) -> None:
        for node in self.nodes:
            self._folder(node.folder)
            self._folder(node.folder / "run")
            values = {
                "NAME": node.name,
                "ADDRESS": HOST,
                "REST_PORT": str(node.rest_port),
                "PORT": str(node.port),
                "ETCD": f"{HOST}:{self.etcd_port}",
                "DATA": str(node.data),
                "BIN": str(postgres_programs()),
                "PASSFILE": str(node.folder / "pgpass"),
                "SOCKETS": str(node.folder / "run"),
                "SUPERUSER_PASSWORD": self.passwords["superuser"],
                "REPLICATION_PASSWORD": self.passwords["replication"],
                "REWIND_PASSWORD": self.passwords["rewind"],
                "NETWORK": f"{HOST}/32",
                "CONNECTIONS": "60",
                "SLOT_KEEP": "1GB",
                "BUFFERS": "64MB",
                "WATCHDOG": "off",
            }
            text = filled(HERE / "patroni" / "node.yml", values)
            if self._asynchronous:
                text = text.replace("synchronous_mode: true", "synchronous_mode: false")
            settings = self._file(node.folder / "patroni.yml", text)
            node.part = self._started(node.name, "patroni", str(settings))
            if node is self.nodes[0]:
                self._wait(node.name, node.part, lambda: self._primary() is not None)
        for node in self.nodes[1:]:
            assert node.part is not None
            self._wait(node.name, node.part, lambda node=node: node.state().get("state") == "running")
        first = self.nodes[0].part
        assert first is not None
        if len(self.nodes) > 1 and not self._asynchronous:
            self._wait("a synchronous standby", first, self._has_synchronous_standby)
        say("database", nodes={node.name: node.state().get("role") for node in self.nodes})

    def _has_synchronous_standby(self) -> bool:
        primary = self._primary()
        standbys = primary.state().get("replication", []) if primary else []
        return any(standby.get("sync_state") in ("sync", "quorum") for standby in standbys)

    def _primary(self) -> Node | None:
        for node in self.nodes:
            state = node.state()
            if state.get("role") in ("master", "primary") and state.get("state") == "running":
                return node
        return None

    def primary(self) -> Node:
        """The node that takes writes. Raises ClusterError when there is none now."""
        found = self._primary()
        if found is None:
            raise ClusterError("there is no primary now")
        return found

    def _make_database(self) -> None:
        node = self.primary()
        sql = (
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.passwords['ledger']}';\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE} ENCODING 'UTF8' TEMPLATE template0;\n"
        )
        done = subprocess.run(
            [
                *(str(postgres_programs() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"),
                *("-h", HOST, "-p", str(node.port), "-U", "postgres", "postgres"),
            ],
            input=sql,
            text=True,
            capture_output=True,
            check=False,
            timeout=READY_S,
            env={**self.environment, "PGPASSWORD": self.passwords["superuser"]},
        )
        if done.returncode != 0:
            raise ClusterError(f"the database was not made:\n{done.stderr}")

    @property
    def ledger_address(self) -> str:
        """Every node, so that whoever connects finds the primary by itself."""
        nodes = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        return f"postgresql://{ROLE}@{nodes}/{DATABASE}"

    @property
    def password_file(self) -> Path:
        """For the workers alone."""
        return self.folder / "ledger-password"

    def _found_head_office(self) -> None:
        self._file(self.password_file, self.passwords["ledger"] + "\n")
        self._run("head_office.cli", "init", "--home", str(self.home), "--name", HOST, *self._ledger_options())
        say("head-office", home=str(self.home))

    def _ledger_options(self) -> list[str]:
        return ["--ledger", self.ledger_address, "--ledger-password-file", str(self.password_file)]

    def _run(self, module: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=READY_S,
            env=self.environment,
        )
        if done.returncode != 0:
            raise ClusterError(f"{module} {arguments[0]} ended with {done.returncode}:\n{done.stderr}")

    def _socket(self, number: int) -> Path:
        return self._folder(self.folder / "run") / f"worker-{number}.sock"

    def _start_worker(self, number: int) -> None:
        path = self._socket(number)
        arguments = ["serve", "--home", str(self.home), "--listen", f"unix:{path}", "--poll-s", str(self.poll_s)]
        part = self._started(f"worker-{number}", sys.executable, "-m", "head_office.cli", *arguments, "--no-opening")
        self.workers.append(part)
        self._wait(part.name, part, lambda: "listens on" in part.last_words())
        say("worker", number=number)

    def _start_nginx(self) -> None:
        folder = self._folder(self.folder / "nginx")
        text = (HERE / "nginx" / "head-office.conf").read_text()
        workers = "\n".join(
            f"    server unix:{self._socket(number)} max_fails=1 fail_timeout=2s;"
            for number in range(1, self.workers_wanted + 1)
        )
        lines = [line for line in text.splitlines() if "worker-2.sock" not in line]
        text = "\n".join(workers if "worker-1.sock" in line else line for line in lines)
        for before, now in {
            "listen 8443 ssl": f"listen {HOST}:{self.https_port} ssl",
            "/var/lib/mpos-head-office/server.crt": str(self.home / "server.crt"),
            "/etc/nginx/mpos-head-office.key": str(self.home / "keys" / "server.key"),
        }.items():
            if before not in text:
                raise ClusterError(f"the template for nginx has no {before!r}")
            text = text.replace(before, now)
        around = (
            f"daemon off; master_process on; worker_processes 1; pid {folder}/nginx.pid;\n"
            f"error_log {folder}/error.log warn;\nevents {{ worker_connections 2048; }}\nhttp {{\naccess_log off;\n"
            + "".join(
                f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + text
            + "\n}\n"
        )
        settings = self._file(folder / "nginx.conf", around)
        part = self._started("nginx", "nginx", "-c", str(settings), "-p", str(folder), "-e", str(folder / "error.log"))
        self._wait("nginx", part, lambda: connects(self.https_port))
        say("nginx", port=self.https_port)

    # --- trouble --------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Stop what sends the log to the standbys; what is acknowledged from now on, no standby has."""
        node = self.primary()
        postmaster = node.postmaster()
        self._held_back = (
            [pid for pid in children(postmaster) if "walsender" in command_line(pid)] if postmaster else []
        )
        if not self._held_back:
            raise ClusterError(f"{node.name} has no standby to hold back")
        for pid in self._held_back:
            os.kill(pid, signal.SIGSTOP)
        say("held-back", node=node.name, senders=len(self._held_back))

    def kill_primary(self, *, whole_node: bool) -> None:
        """kill -9 of the primary's PostgreSQL, with its Patroni or without; tells when another node leads."""
        node = self.primary()
        postmaster = node.postmaster()
        if postmaster is None or node.part is None or node.part.process is None:
            raise ClusterError(f"{node.name} has no PostgreSQL")
        if whole_node:
            os.kill(node.part.process.pid, signal.SIGKILL)
        # With its children: a stopped one would not notice, and a machine that is gone takes all of them along.
        for pid in (postmaster, *children(postmaster)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        say("killed", node=node.name, whole_node=whole_node)
        deadline = began + READY_S
        while True:
            leads = self._primary()
            if leads is not None and (leads is not node or leads.postmaster() != postmaster):
                break
            if time.monotonic() > deadline:
                raise ClusterError("no node took over")
            time.sleep(LOOK_S)
        say("leads", node=leads.name, before=node.name, after_s=round(time.monotonic() - began, 2))

    def heal(self) -> None:
        """Start again what was killed with its machine, and wait until another failure could be borne."""
        for node in self.nodes:
            assert node.part is not None
            if not node.part.alive():
                node.part.start()
        first = self.nodes[0].part
        assert first is not None
        began = time.monotonic()
        self._wait("the cluster", first, self._is_whole)
        say("healed", after_s=round(time.monotonic() - began, 2))

    def _is_whole(self) -> bool:
        states = [node.state().get("state") for node in self.nodes]
        return all(state in ("running", "streaming") for state in states) and (
            self._asynchronous or self._has_synchronous_standby()
        )

    def status(self) -> None:
        """Say which node is what."""
        say(
            "status",
            nodes={
                node.name: {key: state.get(key) for key in ("role", "state", "timeline")}
                for node in self.nodes
                for state in [node.state()]
            },
            workers=[worker.alive() for worker in self.workers],
        )

    def down(self) -> None:
        """End everything, the other way round."""
        layers = [
            [part for part in self.parts if part.name == "nginx"],
            self.workers,
            [node.part for node in self.nodes if node.part is not None],
            [part for part in self.parts if part.name == "etcd"],
        ]
        for layer in layers:
            # All of a layer at once: a standby that is stopped first makes the primary wait for it.
            for part in layer:
                part.kill(signal.SIGQUIT if part.name == "nginx" else signal.SIGTERM)
            for part in layer:
                part.end()
        for node in self.nodes:
            # Its Patroni was killed with the machine; no other node's PostgreSQL has this file.
            pid = node.postmaster()
            if pid is not None and str(node.data) in command_line(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
        say("down")


def filled(template: Path, values: Mapping[str, str]) -> str:
    """A template with every place filled in; KeyError names one that is not."""
    return string.Template(template.read_text()).substitute(values)


def children(pid: int) -> list[int]:
    """The processes a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # Behind the name, which may hold anything, come the state and the parent.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def command_line(pid: int) -> str:
    """How a process calls itself; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def connects(port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def commands() -> Iterator[str]:
    """Lines of standard input, until it ends."""
    for line in sys.stdin:
        word = line.strip()
        if word == "quit":
            return
        if word:
            yield word


def serve(cluster: Cluster) -> None:
    """Do what is asked until nothing more is."""
    for word in commands():
        try:
            match word:
                case "status":
                    cluster.status()
                case "heal":
                    cluster.heal()
                case "hold-back":
                    cluster.hold_back()
                case "kill-primary" | "kill-node":
                    cluster.kill_primary(whole_node=word == "kill-node")
                case "kill-worker":
                    cluster.workers[0].kill()
                    say("worker-killed", number=1)
                case _:
                    say("unknown", word=word)
        except ClusterError as error:
            say("failed", because=str(error))


def main() -> int:
    """Bring it up, serve, take it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder; every user must be able to pass through its parents")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--poll-s", type=int, default=60)
    parser.add_argument("--asynchronous", action="store_true", help="wrong on purpose: one disk is enough")
    asked = parser.parse_args()
    wanted = ("etcd", "patroni", "nginx", "setpriv")
    missing = [name for name in wanted if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if missing:
        say("failed", because=f"not installed: {', '.join(missing)}")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cluster = Cluster(asked.folder.resolve(), asked.nodes, asked.workers, asked.poll_s, asynchronous=asked.asynchronous)
    try:
        cluster.up()
        serve(cluster)
    except ClusterError as error:
        say("failed", because=str(error))
        return 1
    finally:
        cluster.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
