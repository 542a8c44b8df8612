"""PCID and CONFIG: how they are kept, what is made of them, and that a refused pair is not tried again."""

import pickle
from pathlib import Path

import pytest

from drivers.card.ektp.sam import SamSecrets, open_command
from drivers.card.ektp.sam_secrets import open_to_others
from drivers.card.errors import SamSecretsError
from drivers.sensitive import SensitiveBytes

PCID = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
CONFIG = bytes(range(32))


def _secrets(refusal_file: Path | None = None) -> SamSecrets:
    return SamSecrets(SensitiveBytes(PCID), SensitiveBytes(CONFIG), refusal_file)


def _file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "sam"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_open_command_masks_both_halves_with_pcid() -> None:
    """The worked example: 37 bytes, CONFIG XOR PCID twice."""
    assert open_command(_secrets()).encode().hex().upper() == (
        "00F000002000102030405060708090A0B0C0D0E0F010003020504070609080B0A0D0C0F0E0"
    )


@pytest.mark.parametrize(
    "content",
    [
        PCID + CONFIG,
        (PCID + CONFIG).hex().encode(),
        PCID.hex().upper().encode() + b"\n" + CONFIG.hex(" ").encode() + b"\n",
        (PCID + CONFIG).hex(":").encode(),
    ],
    ids=["binary", "hex", "two lines", "colons"],
)
def test_every_form_in_which_dukcapil_values_arrive_is_read(tmp_path: Path, content: bytes) -> None:
    """One 48-byte value, or hex in one or two strings."""
    assert SamSecrets.from_file(_file(tmp_path, content)).password() == _secrets().password()


@pytest.mark.parametrize(
    "content",
    [b"", bytes(47), bytes(49), b"00" * 47, b"0" * 95, b"zz" * 48],
    ids=["none", "47", "49", "94", "95", "no hex"],
)
def test_file_of_another_size_is_refused_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    """A half-copied value must never reach the SAM: it would count as a wrong try."""
    with pytest.raises(SamSecretsError, match="48 bytes"):
        SamSecrets.from_file(_file(tmp_path, content))


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o644])
def test_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The cure stands in the message."""
    with pytest.raises(SamSecretsError, match="set 0600"):
        SamSecrets.from_file(_file(tmp_path, PCID + CONFIG, mode))


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [
        (0o600, 100, False),
        (0o400, 0, False),
        (0o440, 0, False),
        (0o440, 100, True),
        (0o640, 100, True),
        (0o404, 0, True),
    ],
)
def test_only_owner_and_root_may_read_the_file(mode: int, group: int, expected: bool) -> None:
    """What systemd hands over is root's with an access list; a group of people is not."""
    assert open_to_others(0o100000 | mode, group) is expected


def test_missing_file_is_a_named_error(tmp_path: Path) -> None:
    """Not a traceback of the operating system's."""
    with pytest.raises(SamSecretsError, match="No such file"):
        SamSecrets.from_file(tmp_path / "nowhere")


def test_values_show_nowhere() -> None:
    """No repr, no pickle: crash reports and support bundles hold neither value."""
    secrets = _secrets()
    assert repr(secrets) == "<SAM secrets>"
    with pytest.raises(TypeError):
        pickle.dumps(secrets)


def test_refusal_outlives_a_restart_until_a_technician_clears_it(tmp_path: Path) -> None:
    """A service that restarts by itself would otherwise try a wrong value again and again."""
    marker = tmp_path / "sam-refused"
    _secrets(marker).remember_refusal()
    assert _secrets(marker).refused
    _secrets(marker).allow_another_try()
    assert not _secrets(marker).refused


def test_wiped_secrets_are_gone() -> None:
    """What is left is a pair of zeros."""
    secrets = _secrets()
    secrets.wipe()
    assert secrets.password() == bytes(32)
