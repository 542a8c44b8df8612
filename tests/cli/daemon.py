"""The real programs in processes of their own: the daemon, and commands asked of it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mpos_agent.demo.stage import toml

PROGRAM = (sys.executable, "-m", "mpos_agent")
# Python with its libraries starts in two seconds; on a machine with ten times its work it took more than a minute.
PATIENCE_S = 110.0


def write_settings(folder: Path, **sections: Mapping[str, Any]) -> Path:
    """A settings file for an agent that keeps everything in ``folder`` and has no devices."""
    content: dict[str, dict[str, Any]] = {
        "agent": {"state_dir": "state", "run_dir": "run"},
        "card": {"transport": "socket", "card_socket": "card.sock", "sam_socket": "sam.sock"},
        "scanner": {"socket": "scanner.sock"},
        "api": {"port": 0},
    }
    for name, values in sections.items():
        content.setdefault(name, {}).update(values)
    file = folder / "agent.toml"
    file.write_text(toml(content))
    return file


def ask(config: Path, *arguments: str, stdin: str = "", lang: str = "") -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    extra = ["--lang", lang] if lang else []
    return subprocess.run(
        [*PROGRAM, *arguments, "--config", str(config), *extra],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "COLUMNS": "200", "HOME": str(config.parent)},
    )


def objects(output: str) -> list[dict[str, Any]]:
    """Every line of output as the JSON object it must be."""
    return [json.loads(line) for line in output.splitlines()]


class Daemon:
    """``mpos-agent run`` as systemd would start it, its notifications kept; use ``with``."""

    def __init__(self, config: Path, *, watchdog_s: float | None = None) -> None:
        self._config, self._watchdog_s = config, watchdog_s
        self.log = config.parent / "log"
        self.notices: list[str] = []

    def __enter__(self) -> Self:
        address = self._config.parent / "notify"
        address.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(address))
        self._notify.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        if self._watchdog_s is not None:
            environment["WATCHDOG_USEC"] = str(int(self._watchdog_s * 1e6))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "run", "--config", str(self._config)], stdout=log, stderr=log, env=environment
            )
        try:
            self.wait_for("READY=1")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._notify.close()

    def wait_for(self, word: str) -> str:
        """The first notification from now on that contains ``word``."""
        while True:
            try:
                notice = self._notify.recv(4096).decode()
            except TimeoutError as error:
                raise AssertionError(f"no {word}; log:\n{self.text()}") from error
            self.notices.append(notice)
            if word in notice:
                return notice

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")


def lines(text: str, words: Sequence[str]) -> list[str]:
    """The lines that contain one of the words."""
    return [line for line in text.splitlines() if any(word in line for word in words)]
