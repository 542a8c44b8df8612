"""The answer to the challenge of 045e:00ca: AES-128-ECB of its 16 bytes under a key of the maker's.

The key is not part of this program. Whoever has it keeps it in a file of 32 hexadecimal digits, for the agent alone.
"""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.scanner.secret_file import read_secret

KEY_BYTES = 16


def responder(key_file: Path) -> Callable[[bytes], bytes]:
    """What turns a challenge into its response; the key is read at each use and not kept.

    Raises
    ------
    SecretFileError
        When used: the file is not there, is open to others, or holds no such key.
    """

    def respond(challenge: bytes) -> bytes:
        # One block, as the device wants it: there is nothing to chain.
        encryptor = Cipher(algorithms.AES(read_secret(key_file, KEY_BYTES)), modes.ECB()).encryptor()  # noqa: S305
        return encryptor.update(challenge) + encryptor.finalize()

    return respond
