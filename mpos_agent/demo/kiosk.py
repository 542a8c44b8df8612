"""``make kiosk``: agent, virtual devices and head office left running, to try commands on.

pcscd and the virtual devices live in a network namespace of their own (the virtual reader listens on every
interface); agent and head office share this machine's network, so that a browser reaches them. What the
devices do is asked for on a control socket::

    python -m mpos_agent.demo.kiosk insert 2      # the card of person 2
    python -m mpos_agent.demo.kiosk remove        # take the card away
    python -m mpos_agent.demo.kiosk touch 4       # finger 4: right index of person 2 (2n right, 2n+1 left)
    python -m mpos_agent.demo.kiosk lift | sam-in | sam-out | unplug | plug
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from mpos_agent.demo import private_pcscd
from mpos_agent.demo.stage import (
    OPERATOR,
    READY_TIMEOUT_S,
    STOP_TIMEOUT_S,
    SUPERVISOR,
    Stage,
    StageError,
    program,
    wait_until,
)
from mpos_agent.demo.story import ensure_own

FOLDER = Path(".demo/kiosk")
CONTROL = "control.sock"
CONTROL_TIMEOUT_S = 30.0
"""Laying a new person's card on the reader grows two fingers first."""
OUTSIDE, DEVICES = "--outside", "--devices"
WORDS = {
    "insert": "insert_card",
    "remove": "remove_card",
    "touch": "touch",
    "lift": "lift",
    "sam-in": "insert_sam",
    "sam-out": "remove_sam",
    "plug": "plug",
    "unplug": "unplug",
}
NUMBERS = {"insert": "person", "touch": "finger"}
"""Words that take a number, and what it counts."""


def serve_devices(folder: Path) -> int:
    """The devices' own process; ends in order at SIGTERM, its pcscd with it."""
    # A shell without job control starts us with SIGINT ignored, so SIGTERM is what ends us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Only this process needs the network and the emulators.
    from matcher import Network  # noqa: PLC0415
    from mpos_agent.demo.counter import VirtualCounter  # noqa: PLC0415
    from mpos_agent.demo.fingers import SyntheticFingers  # noqa: PLC0415

    real = os.environ.get(private_pcscd.MARK) == "1"
    pcscd = None
    if real:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=CONTROL_TIMEOUT_S)
        pcscd = private_pcscd.start_pcscd()
    try:
        with (
            VirtualCounter(folder, SyntheticFingers(), Network.load(), real_pcscd=real) as counter,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        ):
            counter.insert_card(1)
            counter.touch(2)
            (folder / "settings.json").write_text(json.dumps(counter.settings()))
            listener.bind(str(folder / CONTROL))
            (folder / CONTROL).chmod(0o600)
            listener.listen(4)
            while True:
                caller, _ = listener.accept()
                with caller, caller.makefile("rw") as line:
                    caller.settimeout(CONTROL_TIMEOUT_S)
                    with contextlib.suppress(OSError):
                        line.write(counter.obey(line.readline()) + "\n")
                        line.flush()
    except KeyboardInterrupt:
        return 0
    finally:
        if pcscd is not None:
            private_pcscd.stop_pcscd(pcscd)


def ask(folder: Path, words: list[str]) -> int:
    """One word to the running devices."""
    if words[0] not in WORDS:
        print(f"unknown word {words[0]!r}; known are {', '.join(WORDS)}", file=sys.stderr)
        return 2
    order: dict[str, str | int] = {"do": WORDS[words[0]]}
    if words[0] in NUMBERS:
        if len(words) != 2 or not words[1].isdecimal():
            print(f"say which {NUMBERS[words[0]]}: {words[0]} NUMBER", file=sys.stderr)
            return 2
        order[NUMBERS[words[0]]] = int(words[1])
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(CONTROL_TIMEOUT_S)
            caller.connect(str(folder / CONTROL))
            caller.sendall(json.dumps(order).encode() + b"\n")
            print(caller.makefile().readline().strip())
    except OSError as error:
        print(f"the kiosk does not run here ({error.strerror}); start it with: make kiosk", file=sys.stderr)
        return 1
    return 0


def run_kiosk(folder: Path) -> int:
    """Start everything, say where it is, wait for Ctrl-C, stop everything."""
    console = Console(highlight=False)
    # In the background of a script SIGINT is ignored; both signals end the kiosk in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    ensure_own(folder)
    shutil.rmtree(folder, ignore_errors=True)
    devices = folder / "devices"
    devices.mkdir(parents=True)
    real = os.environ.get(private_pcscd.MARK) == "1"
    apart = ["unshare", "--net"] if real else []
    process = subprocess.Popen(
        [*apart, sys.executable, "-m", "mpos_agent.demo.kiosk", DEVICES, str(devices)], start_new_session=True
    )
    try:
        wait_until(
            lambda: process.poll() is not None or (devices / CONTROL).exists(),
            READY_TIMEOUT_S,
            "the virtual devices should start",
        )
        settings = json.loads((devices / "settings.json").read_text())
        with Stage(folder, settings, api_port=8765) as stage:
            stage.found_head_office()
            stage.start_head_office()
            stage.start_agent()
            stage.enrol()
            _tell(console, stage, real)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            console.print("\nStopping; the queue and head office's ledger stay in", str(folder))
    except KeyboardInterrupt:
        console.print("\nStopped before everything was running.")
    except StageError as error:
        console.print(f"[bold red]The kiosk stopped:[/bold red] {error}", soft_wrap=True)
        return 1
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return 0


def _tell(console: Console, stage: Stage, real: bool) -> None:
    """One command a line, complete, so that it can be copied."""
    config = os.path.relpath(stage.config)
    agent = os.path.relpath(program("mpos-agent")[0])
    word = f"{os.path.relpath(sys.executable)} -m mpos_agent.demo.kiosk"
    lines = (
        (f"make a claim (operator {OPERATOR[0]}, PIN {OPERATOR[1]})", f"{agent} claim -c {config}"),
        ("see readers, scanner, queue, head office", f"{agent} status -c {config}"),
        ("put a stranger's finger on the glass", f"{word} touch 0"),
        ("put the holder's finger back", f"{word} touch 2"),
        ("take the card away, lay the next person's", f"{word} remove; {word} insert 2"),
        (
            "see head office's list",
            f"{os.path.relpath(program('mpos-head-office')[0])} claims list --home "
            f"{os.path.relpath(stage.head_office_home)}",
        ),
        ("see it in a browser (desk-user add makes a user)", f"{stage.url}/desk"),
    )
    console.print("[bold]Running. Ctrl-C stops everything.[/bold]")
    for purpose, command in lines:
        console.print(f"  {purpose}:")
        print(f"    {command}")
    console.print(
        f"Supervisor {SUPERVISOR[0]}, PIN {SUPERVISOR[1]}. Card and SAM in " + ("pcscd." if real else "sockets.")
    )


def main(arguments: list[str]) -> int:
    """Entry of ``python -m mpos_agent.demo.kiosk``."""
    folder = FOLDER.resolve()
    match arguments:
        case []:
            return _in_a_mount_namespace(folder)
        case [mark] if mark == OUTSIDE:
            private_pcscd.mount_runtime()
            os.environ[private_pcscd.MARK] = "1"
            return run_kiosk(folder)
        case [mark, devices] if mark == DEVICES:
            return serve_devices(Path(devices))
        case words:
            return ask(folder / "devices", words)


def _in_a_mount_namespace(folder: Path) -> int:
    reason = private_pcscd.missing_parts() or (
        None if private_pcscd.namespaces_allowed() else "this machine does not allow private namespaces"
    )
    if reason is not None:
        print(f"no pcscd: {reason}; card and SAM are reached over Unix sockets", file=sys.stderr)
        return run_kiosk(folder)
    command = [
        *private_pcscd.unshare_command(share_network=True),
        sys.executable,
        "-m",
        "mpos_agent.demo.kiosk",
        OUTSIDE,
    ]
    return private_pcscd.replace_process(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
