"""Head office and agent as the real programs, started, asked and stopped from outside as a person would."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

READY_TIMEOUT_S = 60.0
"""Starting Python, FastAPI and the network takes two or three seconds; a loaded machine takes more."""
STOP_TIMEOUT_S = 20.0
"""An orderly stop ends the running sync round first."""
COMMAND_TIMEOUT_S = 120.0
"""The longest command is a claim that waits for card and finger."""
PROGRAMS = {"mpos-agent": "mpos_agent", "mpos-head-office": "head_office.cli"}
OPERATOR, SUPERVISOR = ("op1", "482913"), ("sup1", "739146")
"""Synthetic people of the demo: name of their account, PIN."""


class StageError(Exception):
    """A program of the demo did not do what the demo needs; the message holds what it printed last."""


class Stage:
    """One head office and one device, each with a folder of its own under ``folder``.

    Parameters
    ----------
    folder : everything the programs write goes here.
    devices : the sections of the agent's settings that name its devices.
    api_port : port of the local API on 127.0.0.1; 0 for none.
    log_level : of the agent.
    """

    def __init__(
        self,
        folder: Path,
        devices: Mapping[str, Mapping[str, object]],
        *,
        api_port: int = 0,
        log_level: str = "INFO",
        more_settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.folder = folder
        self.head_office_home = folder / "head-office"
        self.agent_home = folder / "agent"
        self.config = folder / "agent.toml"
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._head_office: subprocess.Popen[bytes] | None = None
        self._agent: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        # Unix socket paths are short (107 bytes): the runtime folder has a short name of its own.
        settings: dict[str, dict[str, object]] = {
            "agent": {
                "state_dir": str(self.agent_home),
                "run_dir": str(folder / "run"),
                "accept_test_identities": True,
            },
            "site": {"station": "LOKET UJI"},
            "upload": {"poll_s": 2.0},
            "api": {"port": api_port},
            "log": {"level": log_level},
        }
        for extra in (devices, more_settings or {}):
            for section, values in extra.items():
                settings.setdefault(section, {}).update(values)
        self.config.write_text(toml(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_agent()
        self.stop_head_office()

    # --- head office -------------------------------------------------------------------------

    def found_head_office(self) -> None:
        """Make its keys and certificates, once."""
        self.head_office("init", "--name", "127.0.0.1", "--name", "localhost")

    def start_head_office(self) -> None:
        """Serve, and wait until it accepts connections."""
        self._head_office = self._started(
            "head office",
            [
                *program("mpos-head-office"),
                "serve",
                "--home",
                str(self.head_office_home),
                "--listen",
                f"127.0.0.1:{self.port}",
            ],
            lambda: connects(self.port),
            self.folder / "head-office.log",
        )

    def stop_head_office(self, *, kill: bool = False) -> None:
        """Stop it in order, or pull its plug."""
        stop(self._head_office, kill=kill)
        self._head_office = None

    def head_office(self, *arguments: str) -> str:
        """One of its administrative commands; gives what it printed."""
        return run([*program("mpos-head-office"), *arguments, "--home", str(self.head_office_home)])

    def claims_at_head_office(self) -> list[dict[str, Any]]:
        """What its list holds now."""
        claims = json.loads(self.head_office("claims", "list", "--json"))
        assert isinstance(claims, list)
        return claims

    # --- agent -------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Run the daemon, and wait until it answers."""
        self._agent = self._started(
            "agent",
            [*program("mpos-agent"), "run", "--config", str(self.config)],
            self.agent_answers,
            self.folder / "agent.log",
        )

    def agent_answers(self) -> bool:
        """Whether the daemon takes requests."""
        return self.agent_command("status", "--json", check=False).returncode == 0

    @property
    def agent_process(self) -> subprocess.Popen[bytes]:
        """The running daemon."""
        assert self._agent is not None
        return self._agent

    def stop_agent(self, *, kill: bool = False) -> None:
        """Stop it in order, or pull its plug."""
        stop(self._agent, kill=kill)
        self._agent = None

    def agent_command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One ``mpos-agent`` command, its output kept."""
        return command([*program("mpos-agent"), *arguments, "--config", str(self.config)], check=check)

    def agent_json(self, *arguments: str) -> Any:
        """One ``mpos-agent`` command with ``--json``; the last object it printed."""
        return last_json(self.agent_command(*arguments, "--json").stdout)

    def enrol(self) -> None:
        """A one-time token from head office, used by the device; the operator and the supervisor get accounts."""
        token = self.head_office("devices", "token", "--branch", "JKT01", "--kanwil", "DKI", "--site-type", "BRANCH")
        ca_file = self.head_office_home / "ca.crt"
        self.agent_command("enrol", "--url", self.url, "--token", token.strip(), "--ca-file", str(ca_file))
        self.add_people()

    def add_people(self) -> None:
        """One operator, one supervisor."""
        for (name, pin), role in ((OPERATOR, "operator"), (SUPERVISOR, "supervisor")):
            file = self.folder / "pin"
            file.touch(mode=0o600)
            file.touch(mode=0o600)
            file.write_text(pin)
            self.agent_command("people", "add", name, "--role", role, "--pin-file", str(file))
            file.unlink()

    def waiting(self) -> int:
        """Packets in the queue that head office has not acknowledged."""
        return int(self.agent_json("outbox")["waiting"])

    def _started(
        self, what: str, arguments: Sequence[str], ready: Callable[[], bool], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program that stays, its words added to ``log``; StageError when it is not ready in time."""
        with log.open("ab") as output:
            process = subprocess.Popen(arguments, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                code = process.poll()
                stop(process, kill=True)
                raise StageError(f"{what} did not start (code {code}):\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        return process


def program(name: str) -> list[str]:
    """The installed program beside this Python, or its module where only the sources are there."""
    installed = Path(sys.executable).parent / name
    return [str(installed)] if installed.exists() else [sys.executable, "-m", PROGRAMS[name]]


def command(
    arguments: Sequence[str], *, check: bool = True, timeout_s: float = COMMAND_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run one program to its end; StageError with its last words when it fails and ``check`` is set."""
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=timeout_s)
    if check and ran.returncode != 0:
        raise StageError(f"{' '.join(arguments[:4])} … ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran


def run(arguments: Sequence[str]) -> str:
    """Run one program to its end; what it printed."""
    return command(arguments).stdout


def last_json(output: str) -> Any:
    """The last line of output that is a JSON value."""
    lines = [line for line in output.splitlines() if line.startswith(("{", "["))]
    if not lines:
        raise StageError(f"no JSON in the answer: {output[-500:]!r}")
    return json.loads(lines[-1])


def stop(process: subprocess.Popen[bytes] | None, *, kill: bool) -> None:
    """End a program, in order or at once, and wait for it."""
    if process is None:
        return
    process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise StageError(f"a program did not stop within {STOP_TIMEOUT_S:g} s of being asked") from error


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connects(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def toml(settings: Mapping[str, Mapping[str, object]]) -> str:
    """Settings as TOML; JSON's strings, numbers and booleans are TOML's too."""
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for section, values in settings.items()
    )


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look every 0.2 s until the condition holds. Raises StageError when it did not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StageError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(0.2)
