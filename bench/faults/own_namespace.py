"""A child process with mounts or a network of its own, which end with it: nothing is left behind on the machine."""

import ctypes
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from bench.faults.traced import wait_for

T = TypeVar("T")
MOUNTS, NETWORK = 0x00020000, 0x40000000
"""CLONE_NEWNS and CLONE_NEWNET of the kernel."""
LONGEST_S = 1800.0


def missing(kinds: int) -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "needs root"
    flag = {MOUNTS: "--mount", NETWORK: "--net"}[kinds]
    try:
        probe = subprocess.run(["unshare", flag, "true"], capture_output=True, check=False, timeout=30)
    except FileNotFoundError:
        return "unshare is not installed"
    return "" if probe.returncode == 0 else "this system allows no namespaces"


def run_apart(kinds: int, work: Callable[[], T]) -> T:
    """Run ``work`` in a child with namespaces of its own; gives what it returned. Raises RuntimeError."""
    told, tells = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(told)
        status = 1
        try:
            unshare(kinds)
            content = pickle.dumps(work())
            with os.fdopen(tells, "wb") as pipe:
                pipe.write(content)
            status = 0
        except BaseException:  # noqa: BLE001 - the child ends here
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(tells)
    with os.fdopen(told, "rb") as pipe:
        said = pipe.read()
    ended = wait_for(child, LONGEST_S)
    if ended.status or not said:
        raise RuntimeError(f"the child with its own namespace ended with {ended}")
    made: T = pickle.loads(said)
    return made


def unshare(kinds: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(kinds) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if kinds & MOUNTS:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=30)
    if kinds & NETWORK:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=30)
