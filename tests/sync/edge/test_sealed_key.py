"""Keys sealed with what systemd keeps, by the real ``systemd-creds`` with a host key of the test's own."""

import shutil
import stat
from pathlib import Path

import pytest

from sync.edge.device_key import KeyPlace, KeyStore
from sync.edge.key_stores import KeyStores
from sync.edge.sealed_key import CREDENTIAL, SEAL_BYTES, Seal, SealedDeviceKey
from sync.errors import DeviceKeyError, KeyStoreError
from sync.keys import Algorithm, is_signature

PLACE = KeyPlace(store=KeyStore.SYSTEMD_CREDS, name="signing.sealed")


@pytest.fixture
def seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seal:
    if shutil.which("systemd-creds") is None:
        pytest.skip("systemd-creds (Debian package systemd) is not on this machine")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host.secret"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    made = Seal(tmp_path / "credstore" / CREDENTIAL)
    made.create()
    return made


def again(seal: Seal) -> Seal:
    """The same seal in a process that was started anew."""
    return Seal(seal.file)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.name)
def test_a_sealed_key_signs_after_a_restart(tmp_path: Path, seal: Seal, algorithm: Algorithm) -> None:
    """Created once, opened ever after through systemd."""
    made = SealedDeviceKey.create(tmp_path / "k.sealed", seal, algorithm)
    loaded = SealedDeviceKey.load(tmp_path / "k.sealed", again(seal))
    assert (loaded.kid, loaded.algorithm) == (made.kid, algorithm)
    assert is_signature(made.public_key, algorithm, loaded.sign(b"x"), b"x")


def test_nothing_on_the_disk_is_the_key(tmp_path: Path, seal: Seal) -> None:
    """Neither in the sealed file nor anywhere else, the file for the HTTP client included."""
    made = SealedDeviceKey.create(tmp_path / "tls.sealed", seal, Algorithm.ES256)
    pem = made.pem_path.read_bytes()
    assert b"PRIVATE KEY" in pem
    assert str(made.pem_path).startswith("/proc/self/fd/")
    secret = b"".join(pem.splitlines()[1:-1])
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"PRIVATE KEY" not in file.read_bytes()
            assert secret[:40] not in file.read_bytes()
            assert seal.key() not in file.read_bytes()
    assert stat.S_IMODE((tmp_path / "tls.sealed").stat().st_mode) == 0o600


def test_the_disk_in_another_machine_opens_nothing(tmp_path: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause names systemd's own words, the cure what to do; no other key is made."""
    SealedDeviceKey.create(tmp_path / PLACE.name, seal)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "other.secret"))
    Seal(tmp_path / "elsewhere" / CREDENTIAL).create()
    with pytest.raises(KeyStoreError) as caught:
        KeyStores(signing=KeyStore.SYSTEMD_CREDS, seal=again(seal)).open(PLACE, tmp_path)
    assert "systemd-creds cannot open it" in caught.value.cause
    assert "enrol" in caught.value.cure
    assert [file for file in sorted(tmp_path.iterdir()) if file.name not in ("elsewhere", "other.secret")] == before


def test_a_key_that_is_not_there_is_not_made_for_want_of_the_seal(tmp_path: Path, seal: Seal) -> None:
    """The agent's user cannot ask systemd itself: it says so and waits to be started by its service."""
    seal.file.unlink()
    stores = KeyStores(signing=KeyStore.SYSTEMD_CREDS, seal=again(seal))
    with pytest.raises(KeyStoreError, match="no seal is there") as caught:
        stores.create_or_open(PLACE, tmp_path, Algorithm.EDDSA)
    assert "seal-key" in caught.value.cure
    assert not (tmp_path / PLACE.name).exists()


def test_the_service_takes_the_seal_from_systemds_hands(
    tmp_path: Path, seal: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under ``LoadCredentialEncrypted=`` it lies ready in clear for this service alone; nothing is asked of root."""
    made = SealedDeviceKey.create(tmp_path / "k.sealed", seal)
    ready = tmp_path / "credentials"
    ready.mkdir()
    (ready / CREDENTIAL).write_bytes(seal.key())
    seal.file.unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(ready))
    assert SealedDeviceKey.load(tmp_path / "k.sealed", again(seal)).kid == made.kid
    (ready / CREDENTIAL).write_bytes(seal.key()[:-1])
    with pytest.raises(KeyStoreError, match=f"not {SEAL_BYTES}"):
        again(seal).key()


def test_one_file_in_place_of_another_does_not_open(tmp_path: Path, seal: Seal) -> None:
    """A sealed file is bound to its name."""
    SealedDeviceKey.create(tmp_path / "tls.sealed", seal)
    (tmp_path / "tls.sealed").rename(tmp_path / "signing.sealed")
    with pytest.raises(DeviceKeyError, match="another seal, or damaged"):
        SealedDeviceKey.load(tmp_path / "signing.sealed", seal)


def test_a_seal_is_never_overwritten(seal: Seal) -> None:
    """Everything sealed with it would be lost."""
    kept = seal.file.read_bytes()
    with pytest.raises(KeyStoreError, match="already"):
        Seal(seal.file).create()
    assert seal.file.read_bytes() == kept
