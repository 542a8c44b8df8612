"""Whatever bytes arrive: a receipt or a named refusal, never a crash, and never a word about what is stored."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from head_office.errors import RefusedError
from head_office.keys.authority import KeyRequest
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.moment import utc_now
from sync import cbor, enrolment
from sync.errors import WireError
from tests.head_office.conftest import Office
from tests.head_office.device import Device

# Examples share one head office: what one leaves behind is part of what the next one meets.
GENTLE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Office, Device]]:
    home = Home(tmp_path_factory.mktemp("fuzz") / "head-office")
    set_up(home, ["localhost"], utc_now())
    office = Office(home)
    yield office, office.device()
    office.ledger.close()


@GENTLE
@given(body=st.binary(max_size=300))
def test_any_bytes_as_a_batch_are_refused_by_name(shared: tuple[Office, Device], body: bytes) -> None:
    """Random bytes never get further than a refusal."""
    office, device = shared
    with pytest.raises(RefusedError):
        office.ingest.receive(device.tls_certificate, body)


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 9) | st.text(max_size=4), inner),
    max_leaves=12,
)


@GENTLE
@given(item=ITEMS)
def test_any_cbor_as_a_batch_is_refused_by_name(shared: tuple[Office, Device], item: object) -> None:
    """Well-formed CBOR of the wrong shape is refused as well."""
    office, device = shared
    with pytest.raises(RefusedError):
        office.ingest.receive(device.tls_certificate, cbor.encode(item))


@GENTLE
@given(data=st.data())
def test_a_damaged_batch_is_refused_or_answered(shared: tuple[Office, Device], data: st.DataObject) -> None:
    """Bits flipped, cut or inserted anywhere in a real batch: refused, or answered packet by packet."""
    office, device = shared[0], shared[0].device()
    body = bytearray(device.batch(device.seal(number=1), device.seal(number=2)))
    # Compressed content is never quite the same length twice; what is drawn must not depend on it.
    at = data.draw(st.integers(0, 4095)) % len(body)
    match data.draw(st.sampled_from(("flip", "cut", "insert"))):
        case "flip":
            body[at] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del body[at : at + data.draw(st.integers(1, 64))]
        case _:
            body[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    before = len(office.stored())
    try:
        reply = office.ingest.receive(device.tls_certificate, bytes(body))
    except RefusedError:
        assert len(office.stored()) == before
        return
    receipt = device.verified(reply)
    kept = sum(verdict.verdict.in_custody for verdict in receipt.verdicts)
    assert len(office.stored()) == before + kept


@GENTLE
@given(packets=st.lists(st.binary(max_size=200), min_size=1, max_size=6), last=st.booleans())
def test_unreadable_packets_never_stop_a_chain(shared: tuple[Office, Device], packets: list[bytes], last: bool) -> None:
    """Garbage beside real claims: the real ones are accepted or asked for again, and the chain can go on."""
    office, device = shared[0], shared[0].device()
    first = device.seal(number=1)
    device.verified(office.ingest.receive(device.tls_certificate, device.batch(first, *packets)))
    behind = device.seal(number=2)
    batch = device.batch(*packets, behind) if last else device.batch(behind, *packets)
    receipt = device.verified(office.ingest.receive(device.tls_certificate, batch))
    assert any(v.seq == 2 and v.verdict.in_custody for v in receipt.verdicts)


@GENTLE
@given(body=st.binary(max_size=300) | ITEMS.map(cbor.encode))
def test_any_bytes_as_an_enrolment_are_refused_by_name(body: bytes) -> None:
    """The one route open to strangers reads nothing it does not know."""
    with pytest.raises(WireError):
        enrolment.decode_request(body)


@GENTLE
@given(body=st.binary(max_size=400))
def test_any_bytes_as_a_key_request_are_refused_by_name(body: bytes) -> None:
    """Malformed PKCS#10 is our refusal and not the library's exception."""
    with pytest.raises(RefusedError):
        KeyRequest.parse(body)
