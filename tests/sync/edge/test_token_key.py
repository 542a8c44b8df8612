"""Keys in a PKCS#11 token, by the real SoftHSM: it signs, is pulled out, comes back; nothing stands in for it."""

import os
from pathlib import Path

import pkcs11
import pytest
from cryptography import x509

from sync.edge.device_key import KeyPlace, KeyStore
from sync.edge.key_request import request_for
from sync.edge.key_stores import SIGNING, KeyStores
from sync.edge.token_key import TokenDeviceKey, destroy
from sync.errors import DeviceKeyError, KeyStoreError, TokenPinError
from sync.keys import Algorithm, is_signature
from tests.sync.edge.softhsm import LABEL, PIN, SoftHsm

ID = bytes(range(16))


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    return SoftHsm.make(tmp_path / "hsm", monkeypatch)


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda algorithm: algorithm.name)
def test_the_token_signs_packets_and_its_own_certificate_request(hsm: SoftHsm, algorithm: Algorithm) -> None:
    """Both algorithms, found again after a restart under one key id."""
    made = TokenDeviceKey.create(hsm.token(), ID, algorithm)
    loaded = TokenDeviceKey.load(hsm.token(), ID)
    assert (loaded.kid, loaded.algorithm) == (made.kid, algorithm)
    assert is_signature(made.public_key, algorithm, loaded.sign(b"x"), b"x")
    request = x509.load_der_x509_csr(request_for(loaded, "PC-0001"))
    assert request.is_signature_valid
    assert request.public_key() == made.public_key


def test_the_key_never_leaves_the_token(hsm: SoftHsm) -> None:
    """The token itself refuses to give it out."""
    token = hsm.token()
    TokenDeviceKey.create(token, ID, Algorithm.ES256)

    def ask(session: pkcs11.Session) -> tuple[bool, bool]:
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=ID)
        return bool(key[pkcs11.Attribute.SENSITIVE]), bool(key[pkcs11.Attribute.EXTRACTABLE])

    assert token.use(ask) == (True, False)


def test_a_token_signs_in_the_one_form_head_office_takes(hsm: SoftHsm) -> None:
    """Tokens give either form of an ECDSA signature; each has to be good."""
    key = TokenDeviceKey.create(hsm.token(), ID, Algorithm.ES256)
    for _ in range(16):
        assert is_signature(key.public_key, key.algorithm, key.sign(b"message"), b"message")


def test_a_token_pulled_out_is_called_that_and_signs_again_when_it_is_back(hsm: SoftHsm) -> None:
    """The same object goes on: the agent need not be restarted."""
    key = TokenDeviceKey.create(hsm.token(), ID, Algorithm.ES256)
    key.sign(b"before")
    hsm.pull_out()
    for _ in range(2):
        with pytest.raises(KeyStoreError) as caught:
            key.sign(b"without")
        assert LABEL in caught.value.path
        assert "no token of that label" in caught.value.cause
        assert "plug in the token" in caught.value.cure
        assert caught.value.retryable
    hsm.plug_in()
    assert is_signature(key.public_key, key.algorithm, key.sign(b"after"), b"after")


def test_a_wrong_pin_is_tried_once_and_not_again_before_the_file_has_changed(hsm: SoftHsm) -> None:
    """A token locks after a few tries; a daemon that repeats itself would see to that in a minute."""
    key = TokenDeviceKey.create(hsm.token(), ID, Algorithm.ES256)
    hsm.pin_file.write_text("000000\n")
    token = hsm.token()
    with pytest.raises(TokenPinError, match="PinIncorrect"):
        TokenDeviceKey.load(token, ID)
    with pytest.raises(TokenPinError, match="not asked again"):
        TokenDeviceKey.load(token, ID)
    hsm.pin_file.write_text(PIN + "\n")
    os.utime(hsm.pin_file, ns=(1, 1))
    assert TokenDeviceKey.load(token, ID).kid == key.kid


def test_a_pin_others_can_read_is_not_used(hsm: SoftHsm) -> None:
    """As with every secret in a file."""
    hsm.pin_file.chmod(0o644)
    with pytest.raises(TokenPinError, match="0600"):
        TokenDeviceKey.create(hsm.token(), ID, Algorithm.ES256)


def test_the_pin_may_come_from_systemd(hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a PIN file the credential ``mpos-agent-pin`` is read."""
    (tmp_path / "mpos-agent-pin").write_text(PIN)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    token = hsm.token()
    token.pin_file = None
    assert TokenDeviceKey.create(token, ID, Algorithm.ES256).sign(b"x")


def test_another_token_of_the_same_label_is_not_taken_for_it(hsm: SoftHsm) -> None:
    """The key is looked for by its id, and not made anew."""
    stores = hsm.stores()
    place = stores.new_place(SIGNING, "")
    stores.create(place, hsm.folder, Algorithm.ES256)
    hsm.pull_out()
    hsm.initialise()
    with pytest.raises(DeviceKeyError, match="holds no key"):
        hsm.stores().open(place, hsm.folder)


@pytest.mark.parametrize(
    ("stores", "cure"),
    [
        (KeyStores(), "identity.pkcs11_module"),
        (KeyStores(signing=KeyStore.FILE, pkcs11_module=Path("/nonexistent.so")), "install the token's software"),
    ],
)
def test_a_recorded_token_that_cannot_be_reached_is_never_replaced(
    hsm: SoftHsm, tmp_path: Path, stores: KeyStores, cure: str
) -> None:
    """Settings that say "file" meanwhile change nothing: the key is where it was recorded, or nowhere."""
    place = KeyPlace(store=KeyStore.PKCS11, name=ID.hex(), token=LABEL)
    stores.pin_file = hsm.pin_file
    with pytest.raises(KeyStoreError, match=cure):
        stores.create_or_open(place, tmp_path, Algorithm.ES256)
    assert not list(tmp_path.glob("*.key"))


def test_a_replaced_key_is_destroyed_in_the_token(hsm: SoftHsm) -> None:
    """And removing it twice is no mistake."""
    token = hsm.token()
    TokenDeviceKey.create(token, ID, Algorithm.ES256)
    destroy(token, ID)
    destroy(token, ID)
    with pytest.raises(DeviceKeyError, match="holds no key"):
        TokenDeviceKey.load(token, ID)
