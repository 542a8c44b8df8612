"""Secure messaging against the worked example of ICAO Doc 9303 part 11, appendix D, and against tampering."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.card.apdu import Command, Response
from drivers.card.secure_messaging import (
    Channel,
    Keys,
    SecureMessagingError,
    decrypt,
    encrypt,
    open_cryptogram,
    pad,
    retail_mac,
    seal_cryptogram,
    session,
    unpad,
)

STATIC = Keys(bytes.fromhex("AB94FDECF2674FDFB9B391F85D7F76F2"), bytes.fromhex("7962D9ECE03D1ACD4C76089DCE131543"))
SESSION = Keys(bytes.fromhex("979EC13B1CBFE9DCD01AB0FED307EAE5"), bytes.fromhex("F1CB1F1FB5ADF208806B89DC579DC1F8"))
RND_ICC, RND_IFD = bytes.fromhex("4608F91988702212"), bytes.fromhex("781723860C06C226")
K_IFD, K_ICC = bytes.fromhex("0B795240CB7049B01C19B33E32804F0B"), bytes.fromhex("0B4F80323EB3191CB04970CB4052790B")
E_IFD = "72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2"
M_IFD = "5F1448EEA8AD90A7"
E_ICC = "46B9342A41396CD7386BF5803104D7CEDC122B9132139BAF2EEDC94EE178534F"
M_ICC = "2F2D235D074D7449"

SELECT = Command(0x00, 0xA4, 0x02, 0x0C, bytes.fromhex("011E"))
SELECT_PROTECTED = "0CA4020C158709016375432908C044F68E08BF8B92D635FF24F800"
SELECT_ANSWER = "990290008E08FA855A5D4C50A8ED"
READ = Command(0x00, 0xB0, le=4)
READ_PROTECTED = "0CB000000D9701048E08ED6705417E96BA5500"
READ_ANSWER = "8709019FF0EC34F9922651990290008E08AD55CC17140B2DED"


def _channel() -> Channel:
    return session(K_IFD, K_ICC, RND_IFD, RND_ICC)


def _both() -> tuple[Channel, Channel]:
    return _channel(), _channel()


def test_static_keys_derive_from_the_example_seed() -> None:
    """Basic access keys of the example passport."""
    keys = Keys.derive(bytes.fromhex("239AB9CB282DAF66231DC5A4DF6BFBAE"))
    assert (keys.enc, keys.mac) == (STATIC.enc, STATIC.mac)


def test_terminal_cryptogram_of_the_example() -> None:
    """E.IFD and M.IFD."""
    assert seal_cryptogram(STATIC, RND_IFD + RND_ICC + K_IFD).hex().upper() == E_IFD + M_IFD


def test_chip_cryptogram_of_the_example() -> None:
    """E.ICC and M.ICC, both ways."""
    assert seal_cryptogram(STATIC, RND_ICC + RND_IFD + K_ICC).hex().upper() == E_ICC + M_ICC
    assert open_cryptogram(STATIC, bytes.fromhex(E_ICC + M_ICC)) == RND_ICC + RND_IFD + K_ICC


def test_session_keys_of_the_example() -> None:
    """XOR of both key shares, then SHA-1 with the two counters."""
    seed = bytes(a ^ b for a, b in zip(K_IFD, K_ICC, strict=True))
    assert seed.hex().upper() == "0036D272F5C350ACAC50C3F572D23600"
    keys = Keys.derive(seed)
    assert (keys.enc, keys.mac) == (SESSION.enc, SESSION.mac)


def test_messages_of_the_example_one_after_the_other() -> None:
    """Select, its answer, read, its answer: the counter runs through all four on both sides."""
    terminal, chip = _both()
    assert terminal.wrap_command(SELECT).hex().upper() == SELECT_PROTECTED
    assert chip.unwrap_command(Command.decode(bytes.fromhex(SELECT_PROTECTED))) == SELECT
    assert chip.wrap_response(Response(b"", 0x9000)).hex().upper() == SELECT_ANSWER
    assert terminal.unwrap_response(bytes.fromhex(SELECT_ANSWER)) == Response(b"", 0x9000)
    assert terminal.wrap_command(READ).hex().upper() == READ_PROTECTED
    assert chip.unwrap_command(Command.decode(bytes.fromhex(READ_PROTECTED))) == READ
    assert chip.wrap_response(Response(bytes.fromhex("60145F01"), 0x9000)).hex().upper() == READ_ANSWER
    assert terminal.unwrap_response(bytes.fromhex(READ_ANSWER)).data.hex().upper() == "60145F01"


def test_single_des_is_triple_des_with_one_key() -> None:
    """The published DES example: key 133457799BBCDFF1."""
    key, plain = bytes.fromhex("133457799BBCDFF1"), bytes.fromhex("0123456789ABCDEF")
    assert encrypt(key, plain).hex().upper() == "85E813540F0AB405"
    assert decrypt(key, encrypt(key, plain)) == plain


def test_replayed_answer_is_refused() -> None:
    """The counter has moved on: yesterday's bytes are worth nothing."""
    terminal, chip = _both()
    terminal.wrap_command(SELECT)
    terminal.unwrap_response(bytes.fromhex(SELECT_ANSWER))
    terminal.wrap_command(SELECT)
    with pytest.raises(SecureMessagingError):
        terminal.unwrap_response(bytes.fromhex(SELECT_ANSWER))
    chip.unwrap_command(Command.decode(bytes.fromhex(SELECT_PROTECTED)))
    with pytest.raises(SecureMessagingError):
        chip.unwrap_command(Command.decode(bytes.fromhex(SELECT_PROTECTED)))


@given(st.integers(0, len(READ_ANSWER) // 2 * 8 - 1))
def test_any_flipped_bit_of_an_answer_is_noticed(bit: int) -> None:
    """Tag, length, cryptogram, status or MAC: none can be altered on the way."""
    terminal = _channel()
    terminal.wrap_command(SELECT)
    terminal.unwrap_response(bytes.fromhex(SELECT_ANSWER))
    terminal.wrap_command(READ)
    altered = bytearray.fromhex(READ_ANSWER)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecureMessagingError):
        terminal.unwrap_response(bytes(altered))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_as_an_answer(data: bytes) -> None:
    """Garbage from a reader is an error of its own kind, never a crash."""
    with pytest.raises(SecureMessagingError):
        _channel().unwrap_response(data)


@given(st.binary(min_size=1, max_size=231), st.integers(0, 0xFFFF))
def test_any_answer_arrives_as_it_was_sent(data: bytes, sw: int) -> None:
    """Wrapping and unwrapping are each other's reverse."""
    terminal, chip = _both()
    assert terminal.unwrap_response(chip.wrap_response(Response(data, sw))) == Response(data, sw)


@pytest.mark.parametrize(("plain", "padded"), [(0, 8), (7, 8), (8, 16), (80, 88), (208, 216)])
def test_padding_adds_one_to_eight_bytes(plain: int, padded: int) -> None:
    """The ciphertext lengths seen in traffic."""
    assert len(pad(bytes(plain))) == padded
    assert unpad(pad(bytes(plain))) == bytes(plain)


@pytest.mark.parametrize("data", [b"", bytes(8), b"\x01" * 8, b"\x80" + bytes(8)])
def test_bytes_that_were_never_padded_are_refused(data: bytes) -> None:
    """No marker byte, or more padding than a block."""
    with pytest.raises(SecureMessagingError):
        unpad(data)


def test_mac_depends_on_both_halves_of_its_key() -> None:
    """Otherwise it would be single DES and could be searched."""
    message = b"message"
    swapped = STATIC.mac[8:] + STATIC.mac[:8]
    assert retail_mac(STATIC.mac, message) != retail_mac(swapped, message)
