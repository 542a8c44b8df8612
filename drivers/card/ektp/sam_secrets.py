"""PCID and CONFIG, the password of one SAM: read from a protected file, never shown, never tried twice."""

import os
import re
from pathlib import Path

from drivers.card.errors import SamSecretsError
from drivers.sensitive import SensitiveBytes

PCID_SIZE, CONFIG_SIZE = 16, 32

_HEX = re.compile(rb"[0-9A-Fa-f\s:]+")


def open_to_others(mode: int, group: int) -> bool:
    """Whether anybody but the owner and root may touch a file of this mode and group.

    Credentials handed over by systemd are 0440 and root's: there the group bit is the mask of an access list
    that names one user.
    """
    return bool(mode & (0o037 if group == 0 else 0o077))


class SamSecrets:
    """PCID (16 bytes) and CONFIG (32 bytes) as Dukcapil issues them with each SAM.

    A refusal by the SAM is remembered here, and beside it in ``refusal_file`` so that a restart does not
    forget: how many wrong tries a SAM survives is not public, so the next try is a technician's decision
    (:meth:`allow_another_try`).
    """

    __slots__ = ("_config", "_pcid", "_refusal_file", "_refused")

    def __init__(self, pcid: SensitiveBytes, config: SensitiveBytes, refusal_file: Path | None = None) -> None:
        if len(pcid) != PCID_SIZE or len(config) != CONFIG_SIZE:
            raise SamSecretsError("SAM secrets", "reading", f"PCID has {PCID_SIZE} bytes and CONFIG {CONFIG_SIZE}")
        self._pcid, self._config = pcid, config
        self._refusal_file = refusal_file
        self._refused = False

    def __repr__(self) -> str:
        return "<SAM secrets>"

    @classmethod
    def from_file(cls, path: Path, refusal_file: Path | None = None) -> "SamSecrets":
        """Read PCID followed by CONFIG: 48 bytes, or the same as hex (white space and colons allowed).

        Raises
        ------
        SamSecretsError
            Missing, of another size, or readable by anybody but its owner.
        """
        doing = "reading the SAM secrets file"
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if open_to_others(status.st_mode, status.st_gid):
                    mode = status.st_mode & 0o777
                    raise SamSecretsError(str(path), doing, f"mode {mode:04o} lets others read it, set 0600")
                content = bytearray(file.read(4096))
        except OSError as error:
            raise SamSecretsError(str(path), doing, error.strerror or "unreadable") from error
        try:
            secret = bytearray(content)
            if len(secret) != PCID_SIZE + CONFIG_SIZE and _HEX.fullmatch(secret):
                digits = b"".join(secret.replace(b":", b" ").split())
                secret = bytearray.fromhex(digits.decode("ascii")) if len(digits) % 2 == 0 else bytearray()
            if len(secret) != PCID_SIZE + CONFIG_SIZE:
                raise SamSecretsError(str(path), doing, "expected 48 bytes, or 96 hex digits: PCID then CONFIG")
            return cls(SensitiveBytes(secret[:PCID_SIZE]), SensitiveBytes(secret[PCID_SIZE:]), refusal_file)
        finally:
            content[:] = bytes(len(content))
            secret[:] = bytes(len(secret))

    def password(self) -> bytes:
        """Body of *open SAM*: each half of CONFIG XOR PCID. 32 bytes, secret."""
        with self._pcid.view() as pcid, self._config.view() as config:
            return bytes(byte ^ pcid[i % PCID_SIZE] for i, byte in enumerate(config))

    @property
    def refused(self) -> bool:
        """The SAM refused these values and nobody allowed another try since."""
        return self._refused or (self._refusal_file is not None and self._refusal_file.exists())

    def remember_refusal(self) -> None:
        """Stop every further try, here and after a restart."""
        self._refused = True
        if self._refusal_file is not None:
            self._refusal_file.write_text("The SAM refused PCID/CONFIG. Check both, then allow another try.\n")

    def allow_another_try(self) -> None:
        """The technician's word that PCID, CONFIG and SAM belong together now."""
        self._refused = False
        if self._refusal_file is not None:
            self._refusal_file.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Overwrite both values; no SAM can be opened with this object afterwards."""
        self._pcid.wipe()
        self._config.wipe()
