"""Enrolment's messages are read as sent; anything else is refused by name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, enrolment
from sync.enrolment import EnrolReply, EnrolRequest, ErrorReply, ReceiptKey, Site, SiteType
from sync.errors import EnrolmentMessageError, KeyFormatError, Refusal, WireError
from sync.keys import Algorithm, spki
from sync.recipients import Recipient, RecipientPrivateKey, Suite
from tests.sync.conftest import a_signer
from tests.sync.foreign import read_or_refusal

SIGNER = a_signer(Algorithm.EDDSA)
REQUEST = EnrolRequest(token="t" * 32, device_serial="PC 0001", tls_csr=b"\x30\x00", signing_csr=b"\x30\x00")
REPLY = EnrolReply(
    device_id="dev-000001",
    tls_certificate=b"\x30\x00",
    signing_certificate=b"\x30\x00",
    ca_certificate=b"\x30\x00",
    receipt_keys=(ReceiptKey(kid=SIGNER.kid, spki=spki(SIGNER.public_key)),),
    recipients=tuple(RecipientPrivateKey.generate(suite).public for suite in Suite),
    site=Site(branch_code="ZZ01", kanwil_code="ZZ", site_type=SiteType.BRANCH),
)
ERROR = ErrorReply(error="token_refused", hint="Ask head office for a new one.")


def test_messages_arrive_as_they_were_sent() -> None:
    """Request, reply and error survive the way."""
    assert enrolment.decode_request(enrolment.encode(REQUEST)) == REQUEST
    assert enrolment.decode_reply(enrolment.encode(REPLY)) == REPLY
    assert enrolment.decode_error(enrolment.encode(ERROR)) == ERROR


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash a reader."""
    assert isinstance(read_or_refusal(enrolment.decode_request, data, EnrolmentMessageError), EnrolmentMessageError)
    assert isinstance(read_or_refusal(enrolment.decode_reply, data, WireError), WireError)
    assert isinstance(read_or_refusal(enrolment.decode_error, data, EnrolmentMessageError), EnrolmentMessageError)


@given(st.data())
def test_a_reply_with_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    """Keys and certificates among its bytes may be anything; the answer is a reply or a reason."""
    changed = bytearray(enrolment.encode(REPLY))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_or_refusal(enrolment.decode_reply, bytes(changed), WireError), WireError | EnrolReply)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"version": 2, "news": 1}, Refusal.UNKNOWN_VERSION),
        ({"news": 1}, Refusal.UNKNOWN_KEY),
        ({"token": "short"}, Refusal.BAD_VALUE),
        ({"token": "t" * 129}, Refusal.FIELD_TOO_LONG),
        ({"tls_csr": bytes(4097)}, Refusal.FIELD_TOO_LONG),
        ({"device_serial": "../../x"}, Refusal.BAD_VALUE),
    ],
)
def test_each_fault_of_a_request_has_its_name(changes: dict[str, object], refusal: Refusal) -> None:
    """Head office can say what was wrong with it."""
    with pytest.raises(EnrolmentMessageError) as caught:
        enrolment.decode_request(cbor.encode(REQUEST.to_map() | changes))
    assert caught.value.refusal is refusal


def test_a_token_is_not_shown_by_accident() -> None:
    """The request's own text leaves it out."""
    assert REQUEST.token not in repr(REQUEST)


def test_keys_whose_id_is_not_theirs_are_refused() -> None:
    """A key id is computed, never believed."""
    with pytest.raises(EnrolmentMessageError):
        ReceiptKey(kid=bytes(16), spki=spki(SIGNER.public_key))
    with pytest.raises(KeyFormatError):
        replace(REPLY.recipients[0], kid=bytes(16))
    with pytest.raises(KeyFormatError):
        Recipient.of(Suite.MLKEM768_X25519, bytes(32))


def test_a_device_with_nobody_to_trust_is_not_enrolled() -> None:
    """No receipt key means no packet could ever be acknowledged; no recipient, none could be read."""
    for missing in ("receipt_keys", "recipients"):
        with pytest.raises(EnrolmentMessageError):
            enrolment.decode_reply(cbor.encode(REPLY.to_map() | {missing: []}))
