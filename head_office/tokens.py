"""One-time enrolment tokens: made to be read out on a telephone, kept only as their hash."""

import hashlib
import secrets

# Crockford's base 32: no I, L, O, U, so that what is read aloud or from paper comes back the same.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 20  # 100 bits: not to be guessed, so that a plain hash is enough at rest.
GROUP = 5
LOOKS_LIKE = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_token() -> str:
    """A token as it is handed out: ``7K2QF-…``, four groups of five."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(letters[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def token_hash(typed: str) -> bytes:
    """SHA-256 of the token as meant, whatever case, spaces and look-alikes it was typed with."""
    return hashlib.sha256(typed.upper().translate(LOOKS_LIKE).encode()).digest()
