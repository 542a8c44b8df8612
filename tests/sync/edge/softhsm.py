"""A token of SoftHSM in a folder of the test's own."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from sync.edge.device_key import KeyStore
from sync.edge.key_stores import KeyStores
from sync.edge.token_key import Token
from sync.keys import Algorithm

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
)
LABEL, PIN = "mpos-uji", "271828"


@dataclass
class SoftHsm:
    """One slot with one token; pull it out, plug it in."""

    folder: Path
    module: Path

    @classmethod
    def make(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "SoftHsm":
        """Skips where SoftHSM is not installed."""
        module = next((Path(name) for name in MODULES if Path(name).exists()), None)
        if module is None or shutil.which("softhsm2-util") is None:
            pytest.skip("SoftHSM (Debian package softhsm2) is not on this machine")
        made = cls(folder, module)
        made.tokens.mkdir(parents=True)
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        made.initialise()
        made.pin_file.touch(mode=0o600)
        made.pin_file.write_text(PIN + "\n")
        return made

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def initialise(self) -> None:
        """A fresh token under the label."""
        command = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True)

    def token(self) -> Token:
        return Token(self.module, LABEL, self.pin_file)

    def stores(self, algorithm: Algorithm = Algorithm.ES256) -> KeyStores:
        return KeyStores(
            signing=KeyStore.PKCS11,
            algorithm=algorithm,
            pkcs11_module=self.module,
            token_label=LABEL,
            pin_file=self.pin_file,
        )

    def pull_out(self) -> None:
        self.tokens.rename(self.folder / "pulled-out")
        self.tokens.mkdir()

    def plug_in(self) -> None:
        shutil.rmtree(self.tokens)
        (self.folder / "pulled-out").rename(self.tokens)
