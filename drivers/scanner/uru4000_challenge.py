"""The answer to the challenge of 045e:00ca: AES-128-ECB of its 16 bytes under a key of the maker's.

The key is not part of this program. Whoever has it keeps it in a file of 32 hexadecimal digits, for the agent alone.
"""

import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.scanner.errors import ResponseKeyError

_KEY_DIGITS = 32


def responder(key_file: Path) -> Callable[[bytes], bytes]:
    """What turns a challenge into its response; the key is read at each use and not kept.

    Raises
    ------
    ResponseKeyError
        When used: the file is not there, is open to others, or holds no such key.
    """

    def respond(challenge: bytes) -> bytes:
        # One block, as the device wants it: there is nothing to chain.
        encryptor = Cipher(algorithms.AES(_key(key_file)), modes.ECB()).encryptor()  # noqa: S305
        return encryptor.update(challenge) + encryptor.finalize()

    return respond


def _key(file: Path) -> bytes:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ResponseKeyError(str(file), "it is open to group or others: chmod 600")
        digits = file.read_text(encoding="ascii").strip()
        key = bytes.fromhex(digits)
    except OSError as error:
        raise ResponseKeyError(str(file), error.strerror or "unreadable") from error
    except ValueError as error:
        raise ResponseKeyError(str(file), "it is not hexadecimal") from error
    if len(digits) != _KEY_DIGITS:
        raise ResponseKeyError(str(file), f"a key has {_KEY_DIGITS} hexadecimal digits, this has {len(digits)}")
    return key
