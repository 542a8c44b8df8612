"""A packet leaves this machine's custody and the audit record tells of it: both, or neither."""

from pathlib import Path

from mpos_agent.audit import Act
from sync.envelope import Lane
from sync.keys import Algorithm
from sync.receipt import Verdict
from sync.recipients import RecipientPrivateKey, Suite
from tests.api.rig import Rigs
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys
from tests.sync.edge.test_outbox import signed, verdict_on


def test_the_record_of_a_settled_packet_is_written_with_it(tmp_path: Path) -> None:
    """Also when the process dies right after the commit, before anybody was told of the round. A part of a document is
    recorded by its digest: it is no claim."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    keys = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))
    desk = Desk(state / "agent.db", keys)
    accepted, refused, part = desk.put(1), desk.put(2), desk.put(3, Lane.DOCUMENTS)
    receipt = signed(desk, verdict_on(accepted), verdict_on(refused, Verdict.NOT_YOURS), verdict_on(part))
    desk.database.close()
    with Rigs(tmp_path) as rig:
        rig.agent._parts.outbox.settle(receipt)
        rows = [row for row in rig.agent._parts.audit.rows() if row.act == Act.PACKET_SETTLED.value]
        assert [(row.claim_id, row.facts["verdict"]) for row in rows] == [
            (str(accepted.packet_id), "accepted"),
            (None, "accepted"),
            (str(refused.packet_id), "not_yours"),
        ]
        rig.agent._parts.audit.verify()
