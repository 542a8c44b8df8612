"""A reader that asks who we are is answered with a key of a site's own."""

from pathlib import Path

import pytest

from drivers.scanner.errors import SecretFileError
from drivers.scanner.uru4000_challenge import responder


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    """The key as a technician keeps it."""
    file = folder / "key"
    file.touch(mode=0o600)
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_the_answer_is_aes_of_the_challenge(tmp_path: Path) -> None:
    """The worked example of FIPS 197, appendix C.1."""
    respond = responder(key_file(tmp_path, b"000102030405060708090a0b0c0d0e0f\n"))
    assert respond(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"00" * 16, 0o640, "open to group"),
        (b"00" * 15, 0o600, "30"),
        (b"00" * 32, 0o600, "64"),
        (b"no key at all", 0o600, "hexadecimal"),
        (b"\xff\xfe", 0o600, "hexadecimal"),
        (b"", 0o600, "has 0"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    """The technician is told what is wrong with which file, never what is in it."""
    file = key_file(tmp_path, content, mode)
    with pytest.raises(SecretFileError, match=said) as caught:
        responder(file)(bytes(16))
    assert str(file) in str(caught.value)


def test_no_key_file(tmp_path: Path) -> None:
    """A wrong path is named at the first use."""
    with pytest.raises(SecretFileError, match="No such file"):
        responder(tmp_path / "nowhere")(bytes(16))
