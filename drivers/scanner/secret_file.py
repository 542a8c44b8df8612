"""What a scanner asks for before it works (a key, a password), kept in a file for the agent alone.

Such files hold hexadecimal digits. They are read when a scanner is opened, and nothing of them is kept or told.
"""

import os
import stat
from pathlib import Path

from drivers.scanner.errors import SecretFileError

_LARGEST_BYTES = 256
"""More than any of these secrets with spaces in between; another file named by mistake is not read whole."""


def read_secret(file: Path, size: int) -> bytes:
    """The ``size`` bytes that ``file`` gives as hexadecimal digits, white space around and between them allowed.

    Raises
    ------
    SecretFileError
        It is not there, is open to others than its owner, or holds something else.
    """
    try:
        with file.open("rb") as opened:
            # Of the file that is read, not of what lay under that name before.
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
                raise SecretFileError(str(file), "it is open to group or others: chmod 600")
            digits = b"".join(opened.read(_LARGEST_BYTES).split())
        secret = bytes.fromhex(digits.decode("ascii"))
    except OSError as error:
        raise SecretFileError(str(file), error.strerror or "unreadable") from error
    except ValueError:
        # Not from the cause: its words would show a part of what was read.
        raise SecretFileError(str(file), "it is not hexadecimal") from None
    if len(secret) != size:
        raise SecretFileError(str(file), f"{2 * size} hexadecimal digits are wanted, this has {len(digits)}")
    return secret
