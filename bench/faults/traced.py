"""A child process under strace from its first step on: to record what it writes, or to break its N-th call.

The child is forked from here, so that every module is loaded already and only the steps themselves are seen.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ATTACH_WITHIN_S = 20.0
"""strace attaches in some 20 ms; a loaded machine gets a thousand times that."""
PR_SET_PTRACER = 0x59616D61
LONGEST_CHILD_S = 120.0
"""A child takes well under a second; one that hangs is ended and said to have hung."""


def missing() -> str | None:
    """Why no process can be traced here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False, timeout=30)
    return None if probe.returncode == 0 else "this system does not let strace trace"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended."""

    signal: int
    """That killed it; 0 when it ended by itself."""
    status: int


def run_traced(steps: Callable[[], None], strace: Sequence[str], errors: Path) -> Ended:
    """Run ``steps`` in a child under ``strace ARGUMENTS -p CHILD``; its traceback, if any, goes to ``errors``."""
    waits, releases = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(releases)
        _in_child(steps, waits, errors)
    os.close(waits)
    try:
        tracer = attach(child, strace)
        os.write(releases, b"go")
        ended = wait_for(child)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(releases)
    tracer.wait(ATTACH_WITHIN_S)
    return ended


def attach(process: int, strace: Sequence[str]) -> subprocess.Popen[bytes]:
    """strace on a running process and its threads; it ends with the process."""
    tracer = subprocess.Popen(
        ["strace", *strace, "-p", str(process)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_until_traced(process, tracer)
    return tracer


def allow_tracing() -> None:
    """Let a sibling trace this process: hardened kernels (Yama) let only a parent do so, unless they are told."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def wait_for(child: int, within_s: float = LONGEST_CHILD_S) -> Ended:
    """Wait for the end of a child of ours; one that hangs is killed, which is a SIGALRM to the caller."""
    deadline = time.monotonic() + within_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return Ended(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, os.waitstatus_to_exitcode(status))
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Ended(signal.SIGALRM, -1)
        time.sleep(0.002)


def _in_child(steps: Callable[[], None], waits: int, errors: Path) -> None:
    status = 1
    try:
        allow_tracing()
        os.read(waits, 2)
        steps()
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, and the parent reads why
        errors.write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


def _wait_until_traced(child: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ATTACH_WITHIN_S
    status = Path(f"/proc/{child}/status")
    while "TracerPid:\t0\n" in status.read_text(encoding="ascii"):
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("strace did not attach")
        time.sleep(0.002)
