"""Who this device is, over the local API: shown without secrets, renewed on demand, and what stops new claims."""

import datetime
import json
from pathlib import Path

import pytest

from config.schema import KeyStoreName
from mpos_agent import wiring
from mpos_agent.api.callers import Scope
from mpos_agent.api.client import RemoteError
from mpos_agent.errors import PacketsWaitingError
from sync.commands import Deny
from sync.edge import identity
from sync.edge.device_key import KeyStore
from tests.api.rig import NOBODY, WISH, Rig, Rigs, settings_for


def state(rig: Rig) -> Path:
    return rig.settings.agent.state_dir / wiring.IDENTITY_FOLDER


def test_the_identity_is_shown_without_anything_secret(rig: Rig) -> None:
    """Key store, key id and end of the certificates; no byte of a key."""
    with rig.client(scope=Scope.TECHNICIAN) as client:
        shown = client.get("/v1/identity")
        status = client.get("/v1/status")
    assert (shown["device_id"], shown["key_store"], shown["algorithm"]) == ("dev-000001", "file", "EDDSA")
    assert shown["warn"] is False
    assert status["identity"] == shown
    secret = (state(rig) / identity.SIGNING_KEY).read_text().splitlines()[1]
    assert secret not in json.dumps(shown)


def test_the_last_fortnight_of_a_certificate_is_told(rig: Rig) -> None:
    """By then renewal has failed for six weeks."""
    keeper = rig.agent._parts.keeper
    expires = keeper.identity().expires_at  # type: ignore[union-attr]
    keeper._utc = lambda: expires - datetime.timedelta(days=15)
    with rig.client(scope=Scope.TECHNICIAN) as client:
        assert client.get("/v1/status")["identity"]["warn"] is False
        keeper._utc = lambda: expires - datetime.timedelta(days=14)
        assert client.get("/v1/status")["identity"]["warn"] is True


def test_a_renewal_without_head_office_says_why_and_changes_nothing(rig: Rig) -> None:
    """The technician hears the cause; the identity is as it was, and status repeats the cause."""
    before = (state(rig) / identity.FACTS).read_bytes()
    with rig.client(scope=Scope.TECHNICIAN) as client:
        for new_keys in (False, True):
            with pytest.raises(RemoteError) as caught:
                client.post("/v1/identity/renew", {"new_keys": new_keys})
            assert caught.value.body["code"] == "head_office_connection_refused"
        assert client.get("/v1/identity")["problem"]["code"] == "head_office_connection_refused"
    assert (state(rig) / identity.FACTS).read_bytes() == before


def test_a_counter_application_cannot_change_keys(rig: Rig) -> None:
    """It may look; renewing is a technician's."""
    with rig.operator() as client:
        assert client.get("/v1/identity")["device_id"] == "dev-000001"
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/identity/renew", {})
    assert caught.value.body["code"] == "caller_forbidden"


def test_a_device_head_office_denies_begins_no_claim_until_it_is_lifted(rig: Rig) -> None:
    """The reason stands on the operator's screen; what was begun before goes on."""
    orders = rig.agent._parts.keeper.orders
    with rig.operator() as client:
        orders.deny(Deny(reason="Mesin dilaporkan hilang"))
        assert client.get("/v1/status")["denied"] == "Mesin dilaporkan hilang"
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/claims", WISH)
        assert caught.value.body["code"] == "device_denied"
        assert "Mesin dilaporkan hilang" in caught.value.body["detail"]
        orders.deny(Deny(reason="Ditemukan", lift=True))
        assert client.get("/v1/status")["denied"] is None
        client.post("/v1/claims", WISH)


def test_a_key_that_cannot_be_reached_hides_nothing_else(tmp_path: Path) -> None:
    """Status still shows devices and queue, names the trouble, and no other key is made."""
    with Rigs(tmp_path) as rig:
        folder = state(rig)
        (folder / identity.SIGNING_KEY).unlink()
        rig.agent._parts.keeper._identity = None
        files = sorted(file.name for file in folder.iterdir())
        with rig.operator() as client:
            status = client.get("/v1/status")
            with pytest.raises(RemoteError) as caught:
                client.post("/v1/claims", WISH)
        assert status["identity"] is None
        assert status["identity_problem"]["code"] == "device_key"
        assert status["devices"]["card_reader"] == "socket card.sock"
        assert caught.value.body["code"] == "device_key"
        assert sorted(file.name for file in folder.iterdir()) == files


def test_settings_say_where_new_keys_go(tmp_path: Path) -> None:
    """With a token the TLS key stays a file unless a seal is asked for; a token for TLS is refused in the settings."""
    token = {"key_store": "pkcs11", "pkcs11_module": "token.so", "token_label": "mpos", "algorithm": "ES256"}
    stores = wiring.key_stores(settings_for(tmp_path, identity=token))
    assert (stores.signing, stores.tls, stores.algorithm.name) == (KeyStore.PKCS11, KeyStore.FILE, "ES256")
    assert stores.pkcs11_module == tmp_path / "token.so"
    sealed = wiring.key_stores(settings_for(tmp_path, identity=token | {"tls_key_store": "systemd-creds"}))
    assert sealed.tls is KeyStore.SYSTEMD_CREDS
    both = wiring.key_stores(settings_for(tmp_path, identity={"key_store": KeyStoreName.SYSTEMD_CREDS}))
    assert (both.signing, both.tls) == (KeyStore.SYSTEMD_CREDS, KeyStore.SYSTEMD_CREDS)
    with pytest.raises(Exception, match="cannot use a token"):
        settings_for(tmp_path, identity={"tls_key_store": "pkcs11"})


def test_scans_that_found_no_room_yet_keep_a_second_enrolment_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the identity there is can send them: said with their number, and nobody was asked anything."""
    monkeypatch.setattr(rig.agent._parts.desk, "unqueued_parts", lambda: 2)
    with pytest.raises(PacketsWaitingError, match="2 parts of documents"):
        rig.agent.enrol(NOBODY, "a" * 20, None, again=True)
    assert (state(rig) / identity.FACTS).exists()
