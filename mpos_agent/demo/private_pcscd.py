"""Run a command beside a real pcscd that nobody else on this machine can reach.

pcscd's socket path is compiled in and the virtual reader listens on every network interface, so both get
namespaces of their own: a mount namespace with an empty ``/run/pcscd`` and a network namespace with nothing
but loopback. Everything the command talks to must run inside as well.

    python -m mpos_agent.demo.private_pcscd -- COMMAND [ARGUMENT ...]

Where the parts or the permission are missing, the command runs all the same, without a pcscd, and is told
so by the absence of ``MPOS_PRIVATE_PCSCD`` in its environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

RUNTIME = Path("/run/pcscd")
SOCKET, PID_FILE = RUNTIME / "pcscd.comm", RUNTIME / "pcscd.pid"
VPCD = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
MARK = "MPOS_PRIVATE_PCSCD"
INSIDE = "--inside"

START_TIMEOUT_S = 10.0
"""pcscd opens its socket in some 50 ms; ten seconds covers a loaded machine."""
STOP_TIMEOUT_S = 5.0
"""pcscd ends within a second of SIGTERM; after five it is killed, nothing of it needs keeping."""


def pcscd_program() -> str | None:
    """Path of pcscd; it lies in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which("pcscd") or shutil.which("pcscd", path="/usr/sbin:/sbin")


def missing_parts() -> str | None:
    """Why no private pcscd can run here, or None when it can be tried."""
    if pcscd_program() is None:
        return "pcscd is not installed"
    if not VPCD.exists():
        return "the virtual reader (vsmartcard-vpcd) is not installed"
    for program in ("unshare", "ip", "mount"):
        if shutil.which(program, path=os.defpath + ":/usr/sbin:/sbin") is None:
            return f"the program {program} is not installed"
    return None


def unshare_command(*, share_network: bool = False) -> list[str]:
    """The command in front that gives new namespaces, as root or as an ordinary user."""
    who = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *who, "--mount", *([] if share_network else ["--net"])]


def namespaces_allowed() -> bool:
    """Try it: containers and hardened kernels refuse namespaces in ways no file tells."""
    probe = [*unshare_command(), "sh", "-c", "mount -t tmpfs tmpfs /run && ip link set lo up"]
    return subprocess.run(probe, capture_output=True, check=False, timeout=START_TIMEOUT_S).returncode == 0


def mount_runtime() -> None:
    """An empty runtime folder of our own; called inside the new mount namespace only."""
    if not RUNTIME.is_dir():
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True, timeout=START_TIMEOUT_S)
        RUNTIME.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(RUNTIME)], check=True, timeout=START_TIMEOUT_S)


def start_pcscd() -> subprocess.Popen[bytes]:
    """Start pcscd in these namespaces and wait until clients can connect.

    Raises
    ------
    RuntimeError
        It ended, or did not open its socket in time.
    """
    program = pcscd_program()
    if program is None:
        raise RuntimeError("pcscd is not installed")
    process = subprocess.Popen(
        [program, "--foreground"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not SOCKET.exists():
        if process.poll() is not None:
            raise RuntimeError(f"pcscd ended at once with code {process.returncode}")
        if time.monotonic() > deadline:
            stop_pcscd(process)
            raise RuntimeError(f"pcscd did not open {SOCKET} within {START_TIMEOUT_S:g} s")
        time.sleep(0.02)
    return process


def stop_pcscd(process: subprocess.Popen[bytes]) -> None:
    """End it and wait; a stale socket file is removed so that a restart is seen as one."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SOCKET.unlink(missing_ok=True)


def stop_another_pcscd() -> None:
    """End the one that the command started in place of ours, if it did."""
    try:
        os.kill(int(PID_FILE.read_text().strip("\n\0")), signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return


def run_inside(command: list[str]) -> int:
    """In the new namespaces: loopback up, runtime folder, pcscd, the command, and all of it down again."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=START_TIMEOUT_S)
    mount_runtime()
    pcscd = start_pcscd()
    child = subprocess.Popen(command, env=os.environ | {MARK: "1"})
    # Ctrl-C reaches the whole foreground group: the command decides, we only wait for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        code = child.wait()
    finally:
        stop_pcscd(pcscd)
        stop_another_pcscd()
    return code if code >= 0 else 128 - code


def replace_process(command: list[str]) -> NoReturn:
    """Become the command: its exit code and signals need no passing on."""
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted here


def main(arguments: list[str]) -> int:
    """Run the command after ``--``; its exit code is ours."""
    if arguments[:1] == [INSIDE]:
        return run_inside(arguments[1:])
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("usage: python -m mpos_agent.demo.private_pcscd -- COMMAND [ARGUMENT ...]", file=sys.stderr)
        return 2
    reason = missing_parts() or (None if namespaces_allowed() else "this machine does not allow private namespaces")
    if reason is not None:
        print(f"private pcscd: none, {reason}; going on without", file=sys.stderr)
        os.environ.pop(MARK, None)
        return replace_process(command)
    me = [sys.executable, "-m", "mpos_agent.demo.private_pcscd", INSIDE, *command]
    return replace_process([*unshare_command(), *me])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
