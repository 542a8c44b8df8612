"""The process in which a maker's library runs: loads it, calls it, tells the agent what came of it.

Started by ``vendor_library.py`` as ``python -I -S vendor_worker.py LIBRARY SOCKET MEMORY ROOM``; needs nothing but the
standard library. The functions called are those of ``vendor/mpos_scanner.h``. Requests and answers are one JSON text
each on a Unix socket; pictures lie in memory shared with the agent, never in a file.
"""

import ctypes
import json
import mmap
import os
import queue
import resource
import socket
import sys
import threading
from typing import Any

VERSION = 1
"""MPOS_SCANNER_VERSION."""
MOST_SCANNERS = 32
LARGEST_MESSAGE = 65536
MOST_TEXT = 200
NEEDED = ("version", "list", "open", "capture", "cancel", "close")
STREAMS = 1
MPOS_OK = 0
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38


class Info(ctypes.Structure):
    """mpos_scanner_info."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("max_width", ctypes.c_uint32),
        ("max_height", ctypes.c_uint32),
        ("dpi", ctypes.c_double),
        ("id", ctypes.c_char * 128),
        ("name", ctypes.c_char * 128),
        ("serial", ctypes.c_char * 64),
    )


class Picture(ctypes.Structure):
    """mpos_picture."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("dpi", ctypes.c_double),
        ("pixels", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
    )


class RefusedError(Exception):
    """This library cannot be used; says why."""


class Library:
    """The functions of a maker's library, as the header declares them."""

    def __init__(self, path: str) -> None:
        try:
            loaded = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise RefusedError(str(error)) from error
        if missing := [name for name in NEEDED if not hasattr(loaded, f"mpos_scanner_{name}")]:
            raise RefusedError(f"mpos_scanner_{missing[0]} is missing")
        handle = ctypes.c_void_p
        self.version = loaded.mpos_scanner_version
        self.version.argtypes, self.version.restype = (), ctypes.c_uint32
        if (version := int(self.version())) != VERSION:
            raise RefusedError(f"it was built for version {version} of mpos_scanner.h, not {VERSION}")
        self.list = loaded.mpos_scanner_list
        self.list.argtypes = (ctypes.POINTER(Info), ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))
        self.open = loaded.mpos_scanner_open
        self.open.argtypes = (ctypes.c_char_p, ctypes.POINTER(handle))
        self.capture = loaded.mpos_scanner_capture
        self.capture.argtypes = (handle, ctypes.c_uint32, ctypes.POINTER(Picture))
        self.frame = getattr(loaded, "mpos_scanner_frame", None)
        self.explain = getattr(loaded, "mpos_scanner_explain", None)
        for function in (self.list, self.open, self.capture):
            function.restype = ctypes.c_int32
        if self.frame is not None:
            self.frame.argtypes, self.frame.restype = self.capture.argtypes, ctypes.c_int32
        if self.explain is not None:
            self.explain.argtypes, self.explain.restype = (handle, ctypes.c_int32), ctypes.c_char_p
        self.cancel = loaded.mpos_scanner_cancel
        self.close = loaded.mpos_scanner_close
        for function in (self.cancel, self.close):
            function.argtypes, function.restype = (handle,), None


class Worker:
    """One library, at most one scanner, one agent to answer to."""

    def __init__(self, library: Library, agent: socket.socket, memory: mmap.mmap, room: int) -> None:
        self._library, self._agent, self._room = library, agent, room
        self._pixels = (ctypes.c_uint8 * len(memory)).from_buffer(memory)
        self._scanner = ctypes.c_void_p()
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._running = threading.Lock()
        self._may_cancel = False
        """A capture or frame is running, and the scanner will not be closed under a cancel."""

    def serve(self) -> None:
        """Answer until the agent says close or is gone."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        while True:
            request = self._requests.get()
            answer = self._do(request)
            self._agent.send(json.dumps(answer).encode())
            if request["do"] == "close":
                return

    def _listen(self) -> None:
        while True:
            try:
                message = self._agent.recv(LARGEST_MESSAGE)
            except OSError:
                message = b""
            if not message:
                # The agent is gone. Nobody is left to close the scanner for; the library may be stuck in a call.
                os._exit(0)
            request = json.loads(message)
            if request["do"] == "cancel":
                with self._running:
                    if self._may_cancel:
                        self._library.cancel(self._scanner)
            else:
                self._requests.put(request)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "list":
                return self._list()
            case "open":
                result = self._library.open(request["id"].encode(), ctypes.byref(self._scanner))
                return self._told(result)
            case "capture":
                return self._picture(self._library.capture, request["timeout_ms"])
            case "frame":
                return self._picture(self._library.frame, request["timeout_ms"])
        if self._scanner:
            self._library.close(self._scanner)
        return {"result": MPOS_OK}

    def _list(self) -> dict[str, Any]:
        scanners = (Info * MOST_SCANNERS)()
        for scanner in scanners:
            scanner.size = ctypes.sizeof(Info)
        count = ctypes.c_uint32()
        result = self._library.list(scanners, MOST_SCANNERS, ctypes.byref(count))
        found = [
            {
                "flags": one.flags if self._library.frame is not None else one.flags & ~STREAMS,
                "width": one.max_width,
                "height": one.max_height,
                "dpi": one.dpi,
                "id": _text(one.id),
                "name": _text(one.name),
                "serial": _text(one.serial),
            }
            for one in scanners[: min(count.value, MOST_SCANNERS)]
        ]
        return self._told(result) | {"scanners": found}

    def _picture(self, function: Any, timeout_ms: int) -> dict[str, Any]:
        picture = Picture(size=ctypes.sizeof(Picture), pixels=ctypes.addressof(self._pixels), capacity=self._room)
        with self._running:
            self._may_cancel = True
        try:
            result = function(self._scanner, timeout_ms, ctypes.byref(picture))
        finally:
            with self._running:
                self._may_cancel = False
        return self._told(result) | {"width": picture.width, "height": picture.height, "dpi": picture.dpi}

    def _told(self, result: int) -> dict[str, Any]:
        text = b""
        if result < 0 and self._library.explain is not None:
            text = self._library.explain(self._scanner, result) or b""
        return {"result": result, "text": _text(text)}


def _text(words: bytes) -> str:
    """What a library says of itself: one line that can be shown."""
    said = words[: 4 * MOST_TEXT].decode("utf-8", "replace")
    return "".join(letter for letter in said if letter.isprintable())[:MOST_TEXT]


def confine() -> None:
    """No core dumps, no files written, no further rights: a fingerprint is in this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    system = ctypes.CDLL(None)
    system.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Load the library and serve."""
    path, socket_number, memory_number, room = arguments
    with socket.socket(fileno=int(socket_number)) as agent:
        memory = mmap.mmap(int(memory_number), 0)
        confine()
        try:
            library = Library(path)
        except RefusedError as error:
            agent.send(json.dumps({"refused": _text(str(error).encode())}).encode())
            return 1
        agent.send(json.dumps({"ready": True}).encode())
        Worker(library, agent, memory, int(room)).serve()
    # Without the library's own clean-up at exit, which is nobody's business any more and may hang.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
