"""One document, opened for one person: a process of its own that holds the keys, started when somebody asks.

The process that faces the network never holds a decryption key. What it gets from here is the one document a signed-in
person asked for, part by part, and nothing of it is written anywhere. When nobody has asked for a while it ends.
"""

import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from head_office import documents
from head_office.documents import Key
from head_office.errors import DocumentNotReadError
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys
from head_office.ledger.choice import LedgerChoice, open_ledger
from sync import cbor
from sync.errors import WireError

log = logging.getLogger(__name__)

IDLE_S = 60.0  # A verifier goes through a claim's documents one after the other; starting again costs a second.
ANSWER_S = 30.0  # Starting takes a second or two, a part half a millisecond; a machine that swaps takes longer.
STOP_WITHIN_S = 5.0
LARGEST_QUESTION = 1024
PIECE, END, FAILED = b"p", b"e", b"f"


def run(home: Home, choice: LedgerChoice | None, pipe: Connection) -> None:
    """The process's main: answer until the parent hangs up, or nobody has asked for IDLE_S."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    keys = load_private_keys(home)
    ledger = open_ledger(home, choice)
    try:
        while pipe.poll(IDLE_S):
            device_id, claim_id, index = _question(pipe.recv_bytes(LARGEST_QUESTION))
            try:
                for piece in documents.content_of(ledger, keys, Key(device_id, claim_id, index)):
                    pipe.send_bytes(PIECE + piece)
                pipe.send_bytes(END)
            except WireError as error:
                pipe.send_bytes(FAILED + error.refusal.value.encode())
    except (EOFError, BrokenPipeError):
        pass  # The parent has ended.
    finally:
        ledger.close()


def _question(message: bytes) -> tuple[str, bytes, int]:
    match cbor.decode(message, max_bytes=LARGEST_QUESTION):
        case [str(device_id), bytes(claim_id), int(index)]:
            return device_id, claim_id, index
        case _:
            raise AssertionError("only our own parent asks")


class DocumentReader:
    """Asks the process, and starts it when there is none. Any thread may call; one document at a time."""

    def __init__(self, home: Home, choice: LedgerChoice | None = None) -> None:
        self._home, self._choice = home, choice
        self._turn = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def read(self, key: Key) -> bytes:
        """The whole document (16 MiB at most). Raises DocumentNotReadError when it cannot be opened here and now."""
        with self._turn:
            try:
                return b"".join(self._pieces(key))
            except (EOFError, OSError) as error:
                # It ended on its own: nobody had asked for a while, or it has no keys here.
                self._stop()
                log.info("the document reader had ended: %s", error)
            try:
                return b"".join(self._pieces(key))
            except (EOFError, OSError) as error:
                self._stop()
                raise DocumentNotReadError("the document reader does not run") from error

    def _pieces(self, key: Key) -> Iterator[bytes]:
        pipe = self._started()
        pipe.send_bytes(cbor.encode(list(key.values)))
        while True:
            if not pipe.poll(ANSWER_S):
                self._stop()
                raise DocumentNotReadError(f"no answer within {ANSWER_S:g} s")
            message = pipe.recv_bytes()
            kind, piece = message[:1], message[1:]
            if kind == END:
                return
            if kind == FAILED:
                raise DocumentNotReadError(piece.decode())
            yield piece

    def _started(self) -> Connection:
        if self._pipe is None or self._process is None or not self._process.is_alive():
            self._stop()
            # spawn, not fork: the child must not inherit sockets or the ledger's connection.
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=run, args=(self._home, self._choice, theirs), name="document-reader", daemon=True
            )
            self._process.start()
            theirs.close()
        return self._pipe

    def stop(self) -> None:
        """Hang up and wait for the process to end; safe to call twice."""
        with self._turn:
            self._stop()

    def _stop(self) -> None:
        if self._pipe is not None:
            with suppress(OSError):
                self._pipe.close()
        if self._process is not None:
            self._process.join(STOP_WITHIN_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._pipe = self._process = None
