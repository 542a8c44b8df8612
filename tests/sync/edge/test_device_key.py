"""A private key in a file: readable by its owner alone, or not used at all."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sync.edge.device_key import FileDeviceKey
from sync.edge.files import write_whole
from sync.errors import DeviceKeyError
from sync.keys import Algorithm, is_signature


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signing.key"


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.name)
def test_a_key_is_the_same_after_a_restart(path: Path, algorithm: Algorithm) -> None:
    """Created once, loaded ever after, under one id."""
    made = FileDeviceKey.create(path, algorithm)
    loaded = FileDeviceKey.load(path)
    assert (loaded.kid, loaded.algorithm) == (made.kid, algorithm)
    assert is_signature(made.public_key, algorithm, loaded.sign(b"x"), b"x")


def test_its_file_is_the_owners_alone_whatever_the_umask(path: Path) -> None:
    """Mode 0600 from its first moment."""
    before = os.umask(0)
    try:
        FileDeviceKey.create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_others_can_touch_is_not_used(path: Path, mode: int) -> None:
    """The technician is told the mode and what it must be."""
    FileDeviceKey.create(path)
    path.chmod(mode)
    with pytest.raises(DeviceKeyError, match="set it to 0600"):
        FileDeviceKey.load(path)


def test_a_key_of_another_user_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file can exchange it."""
    FileDeviceKey.create(path)
    us = path.stat().st_uid
    if us == 0:
        os.chown(path, 12345, 12345)  # only root may give a file away
    else:
        monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    with pytest.raises(DeviceKeyError, match="another user"):
        FileDeviceKey.load(path)


def test_a_link_in_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    """The checks are made on what is opened, and a link could point anywhere."""
    FileDeviceKey.create(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(DeviceKeyError):
        FileDeviceKey.load(link)


def test_a_key_is_never_overwritten(path: Path) -> None:
    """Its packets could not be sent any more."""
    FileDeviceKey.create(path)
    with pytest.raises(DeviceKeyError, match="exists already"):
        FileDeviceKey.create(path)


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate(), b"password"),
    ],
    ids=["empty", "rubbish", "torn", "p384", "encrypted"],
)
def test_what_is_no_key_of_ours_is_refused(path: Path, content: bytes) -> None:
    """A torn file, another kind of key, one behind a password."""
    write_whole(path, content)
    with pytest.raises(DeviceKeyError):
        FileDeviceKey.load(path)


def test_a_missing_key_is_called_missing(path: Path) -> None:
    """With the system's own words."""
    with pytest.raises(DeviceKeyError, match="No such file"):
        FileDeviceKey.load(path)


def test_a_key_shows_only_its_id(path: Path) -> None:
    """Neither log nor traceback can print the private half."""
    key = FileDeviceKey.create(path)
    assert repr(key) == f"<EDDSA key {key.kid.hex()}>"


def test_a_file_is_replaced_whole(path: Path) -> None:
    """Old or new, never a mixture, and no temporary file is left."""
    write_whole(path, b"old")
    write_whole(path, b"new content")
    assert path.read_bytes() == b"new content"
    assert list(path.parent.iterdir()) == [path]
