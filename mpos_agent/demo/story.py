"""Three claims, told as they happen: one that matches, one that does not, one while head office is away."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.scanned_paper import letter
from mpos_agent.demo.stage import OPERATOR, SUPERVISOR, Stage, StageError, program, toml, wait_until

ARRIVAL_TIMEOUT_S = 60.0
"""The sync worker asks every 2 s in the demo, backs off to some seconds while head office is away."""
HOLDER, OTHER_HOLDER, THIRD_HOLDER = 1, 2, 3
STRANGER = 0
"""A finger that is on none of the cards (people are numbered from 1)."""
FIELD_NAME = 13
"""Place of the holder's name in the card's biodata."""
CLAIM_TIMEOUT_S = 300.0
"""A whole claim with eight refused fingers; each costs an extraction."""


class Story:
    """What ``make demo`` shows. Each act fails loudly when what it tells did not happen."""

    def __init__(self, stage: Stage, counter: VirtualCounter, console: Console, *, fingers: str, real: bool) -> None:
        self._stage, self._counter, self._console = stage, counter, console
        self._fingers, self._real = fingers, real
        self._receipts: list[str] = []

    def tell(self) -> None:
        """All of it, in order."""
        self._prologue()
        self._claim_that_matches()
        self._finger_that_differs()
        self._head_office_away()
        self._epilogue()

    def _heading(self, text: str, below: str = "") -> None:
        self._console.print()
        self._console.print(Panel(f"[bold]{text}[/bold]" + (f"\n{below}" if below else ""), expand=True))

    def _prologue(self) -> None:
        self._heading(
            "mpos-agent: a claim from the chip to head office and back",
            "Real: pcscd and pyscard, the matcher, the packet, SQLite, TLS, head office. Virtual: card, SAM, scanner."
            if self._real
            else "No pcscd here (see above): card and SAM are reached over Unix sockets. Everything else is real.",
        )
        self._say("Head office makes its keys and starts.")
        self._stage.found_head_office()
        self._stage.start_head_office()
        self._say("The agent starts, and is enrolled with a one-time token.")
        self._stage.start_agent()
        self._stage.enrol()
        devices = self._stage.agent_json("devices")
        table = Table("what", "is", title="Devices as the agent sees them", title_justify="left")
        table.add_row("readers of pcscd" if self._real else "sockets", "\n".join(devices["readers"]) or "none")
        table.add_row("card reader", str(devices["card_reader"]))
        table.add_row("SAM in", str(devices["sam_reader"]))
        table.add_row("scanner", ", ".join(found["name"] for found in devices["scanners"]))
        table.add_row("fingers", self._fingers)
        self._console.print(table)

    def _claim_that_matches(self) -> None:
        holder = self._counter.person(HOLDER).fields[FIELD_NAME]
        self._heading("1 · A claim whose finger matches", f"Holder on the chip: {holder} (synthetic)")
        self._counter.insert_card(HOLDER)
        self._counter.touch(2 * HOLDER)
        self._claim("match", {}, {"PAKLARING": letter()})
        self._arrives(1)

    def _finger_that_differs(self) -> None:
        self._heading(
            "2 · A finger that does not match",
            "Somebody else's finger on the glass. The machine refuses nobody: after the allowed "
            "attempts a second person compares the photo and countersigns, and head office is told exactly that.",
        )
        self._counter.insert_card(OTHER_HOLDER)
        self._counter.touch(STRANGER)
        self._claim("fallback", {"kpj": "99ZZ0000002"})
        self._arrives(2)

    def _head_office_away(self) -> None:
        self._heading("3 · A claim while head office is down")
        self._stage.stop_head_office()
        self._say("Head office is stopped.")
        self._counter.insert_card(THIRD_HOLDER)
        self._counter.touch(2 * THIRD_HOLDER)
        self._claim("offline", {"kpj": "99ZZ0000003"})
        self._show("outbox")
        waiting = self._stage.waiting()
        if waiting != 1:
            raise StageError(f"one packet should be waiting, the queue says {waiting}")
        self._say("The member has gone home; the packet waits on this machine, sealed. Head office comes back.")
        self._stage.start_head_office()
        self._arrives(3)

    def _epilogue(self) -> None:
        self._heading("Where everything ended")
        self._show("outbox")
        self._console.print("[dim]$ mpos-head-office claims list --json[/dim]")
        table = Table(*SHOWN, title="Head office's list", title_justify="left")
        for claim in self._stage.claims_at_head_office():
            table.add_row(*(_cell(claim[column]) for column in SHOWN))
        self._console.print(table)
        home = self._stage.folder
        table = Table("look at", "it is", show_edge=False)
        table.add_row(os.path.relpath(self._stage.config), "the agent's settings")
        table.add_row(os.path.relpath(self._stage.agent_home), "queue and audit log (agent.db), keys, certificates")
        table.add_row(os.path.relpath(home / "agent.log"), "the agent's log: no name, no number, no finger in it")
        table.add_row(os.path.relpath(self._stage.head_office_home), "head office's ledger and keys")
        table.add_row("README.md", "from each step to one file")
        table.add_row("make kiosk", "the same devices left running, to try commands on")
        self._console.print(table)

    def _claim(self, name: str, form: Mapping[str, object], scans: Mapping[str, bytes] | None = None) -> None:
        """One claim through the command line, its output shown as the operator sees it; ``scans`` by kind (JPEG)."""
        answers = self._stage.folder / f"answers-{name}.toml"
        files = {kind: self._stage.folder / f"{kind.lower()}.jpg" for kind in scans or {}}
        for kind, file in files.items():
            file.write_bytes((scans or {})[kind])
        listed = "".join(f'[[documents]]\ntype = "{kind}"\nfile = "{file.name}"\n' for kind, file in files.items())
        answers.write_text(answers_toml(form) + listed)
        self._console.print(f"[dim]$ mpos-agent claim --answers {answers.name}[/dim]")
        command = [*program("mpos-agent"), "claim", "--answers", str(answers), "--config", str(self._stage.config)]
        ran = subprocess.run(command, check=False, timeout=CLAIM_TIMEOUT_S, env=os.environ)
        for file in (answers, *files.values()):
            file.unlink()
        if ran.returncode != 0:
            raise StageError(f"the claim ended with {ran.returncode}")

    def _arrives(self, expected: int) -> None:
        wait_until(lambda: self._stage.waiting() == 0, ARRIVAL_TIMEOUT_S, "the queue should be empty")
        wait_until(
            lambda: len(self._stage.claims_at_head_office()) == expected,
            ARRIVAL_TIMEOUT_S,
            f"head office should list {expected} claims",
        )
        wait_until(
            lambda: all(len(set(one["documents"].split("/"))) == 1 for one in self._stage.claims_at_head_office()),
            ARRIVAL_TIMEOUT_S,
            "every document should be complete",
        )
        rows = self._stage.agent_json("outbox")["rows"]
        newest = next(row for row in rows if row["lane"] == "core")
        table = Table(title="Queue row and receipt", title_justify="left", show_header=False)
        table.add_row("packet", f"{newest['size_bytes']} bytes, signed and encrypted")
        table.add_row("queue row", f"lane {newest['lane']}, number {newest['seq']}, {newest['state']}")
        table.add_row("upload", f"{max(1, newest['attempts'])} round(s); head office says: {newest['verdict']}")
        table.add_row("receipt", f"{newest['receipt_no']}, signature verified over exactly these bytes")
        claim = next(one for one in self._stage.claims_at_head_office() if one["receipt_no"] == newest["receipt_no"])
        table.add_row("at head office", f"agenda {claim['agenda_no']}, {claim['path']}, {claim['status']}")
        if not claim["documents"].endswith("/0"):
            table.add_row("documents", f"{claim['documents']} complete: in parts of their own, after the claim")
        self._console.print(table)

    def _show(self, *command: str) -> None:
        self._console.print(f"[dim]$ mpos-agent {' '.join(command)}[/dim]")
        self._console.print(self._stage.agent_command(*command).stdout, markup=False, highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(f"[cyan]·[/cyan] {text}")


SHOWN = ("agenda_no", "receipt_no", "full_name", "nik", "path", "flags")
"""Columns of head office's list that fit a terminal of 80."""


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def answers_toml(form: Mapping[str, object], **claim: str) -> str:
    """What operator, member and supervisor answer in the demo, as the file ``claim --answers`` reads."""
    sections: dict[str, dict[str, object]] = {
        "operator": {"id": OPERATOR[0], "pin": OPERATOR[1]},
        "claim": {"programme": "JHT", "reason_code": "RESIGN", "segment": "PU", "relation": "SELF", **claim},
        "consent": {"given": True, "method": "ON_SCREEN"},
        "card": {"tries": 3},
        "finger": {"tries": 3},
        "fallback": {
            "reason": "DIFFERS",
            "supervisor_id": SUPERVISOR[0],
            "pin": SUPERVISOR[1],
            "photo_compare": "SAME",
        },
        "photo_check": {"result": "SAME"},
        "form": {
            "kpj": "99ZZ0000001",
            "npp": "ZZ0Z0001",
            "company_name": "PT CONTOH UJI",
            "phone": "080000000001",
            "mother_name": "IBU CONTOH UJI",
            **form,
        },
        "confirm": {"declaration": "CONFIRMED_ON_SCREEN"},
    }
    return toml(sections)


def ensure_own(folder: Path) -> None:
    """Refuse to begin in a folder of something else: the demo clears its own."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "agent.toml").exists():
        raise StageError(f"{folder} is not a demo's folder; name another with --folder")
