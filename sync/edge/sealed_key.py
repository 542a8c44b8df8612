"""Key files sealed with a key that systemd keeps: stolen with the disk, they open on no other machine.

systemd 252 opens credentials for root only, and the agent is not root. So root seals *one* random key once
(``mpos-agent identity seal-key``); systemd hands it to the agent's service in memory (``LoadCredentialEncrypted=``,
a folder of its own in RAM), and the agent seals its key files with it, as often as it renews and rotates. Where no
systemd starts the agent, the same credential is opened with ``systemd-creds decrypt``, which then needs root.
"""

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync import cbor
from sync.edge.device_key import KeyStore, new_private_key, parse_private_key
from sync.edge.files import read_private, write_whole
from sync.errors import CborError, DeviceKeyError, EnrolmentMessageError, KeyStoreError, WireError
from sync.keys import Algorithm, PrivateKey, SoftwareSigner
from sync.records import Blob, Record, Whole

CREDENTIAL = "mpos-agent-seal"
"""Its name in the unit, in ``$CREDENTIALS_DIRECTORY`` and inside the credential, where systemd checks it."""
DEFAULT_FILE = Path("/etc/credstore.encrypted") / CREDENTIAL
SEAL_BYTES, NONCE_BYTES = 32, 12
WAIT_S = 30.0  # A TPM takes a second or two; half a minute is one that hangs.
_PURPOSE = b"mpos-agent device key\x00"


class Seal:
    """The key that seals key files. Fetched when first needed, kept in memory, never written anywhere in clear."""

    def __init__(self, file: Path = DEFAULT_FILE) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._key: bytes | None = None

    def __repr__(self) -> str:
        return f"<seal of {self.file}>"

    def key(self) -> bytes:
        """32 bytes. Raises KeyStoreError when systemd does not give them out."""
        with self._lock:
            if self._key is None:
                self._key = self._handed_over() or self._opened()
            return self._key

    def create(self, with_key: str = "host") -> None:
        """Draw a seal and have systemd encrypt it; for root, once. ``with_key`` as ``systemd-creds`` takes it.

        Raises KeyStoreError, also when there is one: everything sealed with it would be lost.
        """
        if self.file.exists():
            raise KeyStoreError(self.file, "a seal is there already", "keep it: key files are sealed with it")
        made = self._creds(
            ["encrypt", f"--with-key={with_key}", f"--name={CREDENTIAL}", "-", "-"],
            "seal",
            given=os.urandom(SEAL_BYTES),
        )
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.file, made)

    def _handed_over(self) -> bytes | None:
        """What systemd laid ready for this service; None when it did not start us, or has none."""
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder or not (file := Path(folder) / CREDENTIAL).exists():
            return None
        try:
            # systemd made folder and file for this service alone; with an access list the mode looks wider than it is.
            return self._whole(file.read_bytes(), file)
        except OSError as error:
            raise KeyStoreError(
                file, error.strerror or "cannot be read", "start the agent through its service"
            ) from error

    def _opened(self) -> bytes:
        if not self.file.exists():
            raise KeyStoreError(
                self.file, "no seal is there", "as root: mpos-agent identity seal-key, then restart the service"
            )
        return self._whole(self._creds(["decrypt", f"--name={CREDENTIAL}", str(self.file), "-"], "open"), self.file)

    def _creds(self, arguments: list[str], doing: str, given: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                ["systemd-creds", *arguments], input=given, capture_output=True, timeout=WAIT_S, check=False
            )
        except FileNotFoundError as error:
            raise KeyStoreError(self.file, "systemd-creds is not installed", "install systemd 250 or newer") from error
        except subprocess.TimeoutExpired as error:
            raise KeyStoreError(
                self.file, f"systemd-creds did not {doing} it in {WAIT_S:g} s", "look at the TPM"
            ) from (error)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise KeyStoreError(
                self.file,
                f"systemd-creds cannot {doing} it: {said[-1] if said else 'no reason given'}",
                "start the agent through its service, or as root; after a new disk or TPM enrol this machine again",
            )
        return done.stdout

    def _whole(self, key: bytes, file: Path) -> bytes:
        if len(key) != SEAL_BYTES:
            raise KeyStoreError(file, f"the seal has {len(key)} bytes, not {SEAL_BYTES}", "restore it from the backup")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class _SealedFile(Record):
    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    version: Annotated[int, Whole(1, 1)] = 1
    nonce: Annotated[bytes, Blob(NONCE_BYTES)]
    sealed: Annotated[bytes, Blob(1024, least=1)]


class SealedDeviceKey(SoftwareSigner):
    """A key whose file is sealed; the clear key lives in this process's memory and nowhere else."""

    store = KeyStore.SYSTEMD_CREDS

    def __init__(self, path: Path, private_key: PrivateKey) -> None:
        super().__init__(private_key)
        self.path = path
        self.where = f"{path}, sealed by systemd"
        self._memory_file: int | None = None

    @classmethod
    def create(cls, path: Path, seal: Seal, algorithm: Algorithm = Algorithm.EDDSA) -> Self:
        """Make a new key and its sealed file. Raises DeviceKeyError when there is one."""
        if path.exists():
            raise DeviceKeyError(path, "exists already")
        key = new_private_key(algorithm)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(seal.key()).encrypt(nonce, _pem(key), _PURPOSE + path.name.encode())
        write_whole(path, cbor.encode(_SealedFile(nonce=nonce, sealed=sealed).to_map()))
        return cls(path, key)

    @classmethod
    def load(cls, path: Path, seal: Seal) -> Self:
        """Open a key's file. Raises KeyStoreError for the seal, DeviceKeyError for the file."""
        try:
            stored = _SealedFile.from_map(cbor.decode(read_private(path), max_bytes=4096))
            # Bound to its name: the TLS key's file in place of the signing key's does not open.
            pem = AESGCM(seal.key()).decrypt(stored.nonce, stored.sealed, _PURPOSE + path.name.encode())
        except (CborError, EnrolmentMessageError) as error:
            raise DeviceKeyError(path, "not a sealed key") from error
        except InvalidTag as error:
            raise DeviceKeyError(path, "sealed with another seal, or damaged") from error
        return cls(path, parse_private_key(pem, path))

    @property
    def pem_path(self) -> Path:
        """A file in memory alone: the HTTP client takes keys as files only."""
        if self._memory_file is None:
            number = os.memfd_create("tls.key", os.MFD_CLOEXEC)
            os.write(number, _pem(self._private_key))
            self._memory_file = number
        return Path(f"/proc/self/fd/{self._memory_file}")

    def __del__(self) -> None:
        if getattr(self, "_memory_file", None) is not None:
            os.close(self._memory_file)  # type: ignore[arg-type]


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
