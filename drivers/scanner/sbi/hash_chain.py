"""The chain through the pictures of a conversation, which shows that none was left out, swapped or played again.

::

    hash_n = UPPERHEX(SHA256(raw(hash_{n-1}) || SHA256(record_n)))        hash_0 = SHA256("")
"""

import hashlib
import hmac

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError

START = hashlib.sha256(b"").hexdigest().upper()


def following(previous: str, record: bytes | bytearray | memoryview) -> str:
    """The hash after this record; an empty ``previous`` is the start."""
    before = bytes.fromhex(previous or START)
    return hashlib.sha256(before + hashlib.sha256(record).digest()).hexdigest().upper()


def check(said: str, previous: str, record: bytes | bytearray | memoryview) -> str:
    """The recomputed hash, when the service said the same."""
    own = following(previous, record)
    if not hmac.compare_digest(own.encode("ascii"), said.upper().encode("utf-8")):
        raise WrongAnswerError(Refusal.HASH_CHAIN)
    return own
