"""Head office's folder: which file lies where, and how private files are written and read."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from head_office.errors import HomeError


@dataclass(frozen=True, slots=True)
class Home:
    """The paths below one folder. Public files at the top, what must stay private under ``keys/``."""

    folder: Path

    @property
    def ca_certificate(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.folder / "keys" / "ca.key"

    @property
    def server_certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.folder / "keys" / "server.key"

    @property
    def receipt_key(self) -> Path:
        return self.folder / "keys" / "receipt.key"

    def receipt_key_file(self, kid: bytes) -> Path:
        """A later receipt key's; the first one's is ``receipt_key``."""
        return self.folder / "keys" / "receipts" / f"{kid.hex()}.key"

    @property
    def trust(self) -> Path:
        """Receipt keys and recipients in force, and their serial number; there after the first rotation."""
        return self.folder / "trust.cbor"

    @property
    def recipients(self) -> Path:
        """The public halves, given to devices at enrolment."""
        return self.folder / "recipients.cbor"

    @property
    def recipient_keys(self) -> Path:
        """The private halves; read by the opening worker and by nobody else."""
        return self.folder / "keys" / "recipients"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def clusters(self) -> Path:
        """Which clusters there are; absent where there is one."""
        return self.folder / "clusters.toml"

    @property
    def ledger_choice(self) -> Path:
        """Names another ledger than that file; see head_office/ledger/choice.py."""
        return self.folder / "ledger.toml"


def write_new(path: Path, content: bytes, *, private: bool) -> None:
    """Write a file that must not exist yet, 0600 or 0644, and flush it and its folder.

    Raises HomeError when it exists: a key is never overwritten.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o644)
    except FileExistsError as error:
        raise HomeError(f"{path} exists already", "keys are never overwritten; choose another folder") from error
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(number)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_public(path: Path, content: bytes) -> None:
    """Write a file without secrets so that after any crash it holds the old content or the new."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    write_new(temporary, content, private=False)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_public(path: Path) -> bytes:
    """Read a file of the folder. Raises HomeError naming it and the cure."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise HomeError(f"{path} is missing", "run `mpos-head-office init` for this folder first") from error
    except PermissionError as error:
        raise HomeError(f"{path} cannot be read", "run as the user head office belongs to") from error


def read_private(path: Path) -> bytes:
    """Read a key. Raises HomeError when anybody but its owner could read or write it."""
    content = read_public(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HomeError(f"{path} is open to other users", f"chmod 600 {path}")
    return content
