"""The chain through the pictures, against values computed elsewhere."""

import pytest

from drivers.scanner.sbi import hash_chain
from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.mock.encryption import bound_to

FIRST = "564F339139ADD8062F6D7CA1066FA321C999AAE937156F9917E45284BC3B3A9E"
SECOND = "955140B114A6AA35DB958FDE73A2D4C49C06B823233B88E4F32CA09BBC783AFE"


def test_the_published_chain() -> None:
    """Records "test" and "test2", from the start that is written as nothing at all."""
    assert hash_chain.START == "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
    assert hash_chain.following("", b"test") == FIRST
    assert hash_chain.following(hash_chain.START, b"test") == FIRST
    assert hash_chain.following(FIRST, b"test2") == SECOND


@pytest.mark.parametrize("said", [FIRST, "", "E" * 64, SECOND[:-1], "ÿ" * 64])
def test_any_other_hash_is_refused(said: str) -> None:
    """Also that of the same record one place earlier, and what is no hash."""
    with pytest.raises(WrongAnswerError) as refused:
        hash_chain.check(said, FIRST, b"test2")
    assert refused.value.refusal is Refusal.HASH_CHAIN


def test_lower_case_is_the_same_hash() -> None:
    """Some services write it so; the value counts."""
    assert hash_chain.check(SECOND.lower(), FIRST, b"test2") == SECOND


@pytest.mark.parametrize(
    ("transaction", "additional", "nonce"),
    [
        ("1234567890", "2d30322d31356503030e05070d0d0e6a", "31356503030e05070d0d0e6a"),
        ("123e4567-e89b-12d3-a456-426614174000", "1905040005076207010e01060e05076a", "05076207010e01060e05076a"),
    ],
)
def test_what_an_encrypted_capture_is_bound_to(transaction: str, additional: str, nonce: str) -> None:
    """The mock seals pictures of purpose Auth as published: the shorter text is filled on the left."""
    assert bound_to("2019-02-15T10:01:57Z", transaction) == (bytes.fromhex(additional), bytes.fromhex(nonce))
