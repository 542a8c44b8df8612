"""A head office ahead of the device: its answers are refused by name, nothing is taken over, every packet is kept."""

from typing import Any

import pytest

from sync import cbor, cose, receipt
from sync.edge.head_office_client import Reply
from sync.edge.uploader import RoundOutcome
from sync.errors import Cause
from sync.receipt import read_receipt
from tests.sync.edge.conftest import Desk


def changed_receipt(desk: Desk, raw: bytes, **changes: Any) -> bytes:
    """Head office's receipt with other headers or members, signed by its own key."""
    office = desk.keys.office
    headers = {
        cose.ALG: int(office.algorithm),
        cose.KID: office.kid,
        cose.TYP: receipt.TYP,
        **changes.pop("headers", {}),
    }
    return cose.sign(cbor.encode(headers), cbor.encode(read_receipt(raw).to_map() | changes), office)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": 2, "novelty": 1}, "unknown_version"),
        ({"novelty": 1}, "unknown_key"),
        ({"headers": {cose.ALG: -48}}, "unknown_algorithm"),
        ({"headers": {cose.TYP: "application/vnd.mpos.receipt2+cose"}}, "unknown_type"),
        ({"headers": {cose.CRIT: [-70_009], -70_009: 1}}, "unknown_critical"),
    ],
)
def test_a_receipt_of_tomorrow_acknowledges_nothing(desk: Desk, changes: dict[str, Any], word: str) -> None:
    """Technicians read which of the two is behind; the claims wait for the update."""

    class Ahead:
        def post(self, path: str, body: bytes) -> Reply:
            made = desk.office.post(path, body)
            return Reply(changed_receipt(desk, made.body, **dict(changes)), made.sent_ns, made.received_ns)

    desk.client = Ahead()
    desk.restart()
    desk.put(1)
    result = desk.uploader.round()
    assert (result.outcome, result.cause) == (RoundOutcome.FAILED, Cause.BAD_RECEIPT)
    assert word in result.detail
    assert desk.outbox.counts()[0].ready == 1
    desk.client = None
    desk.restart()
    assert len(desk.uploader.round(now_please=True).acked) == 1
