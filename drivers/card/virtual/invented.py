"""Everything about e-KTP and SAM that no public source tells, INVENTED here.

Nothing in this file is known of the real thing; all of it can be replaced without touching the driver:
key diversification and static keys, the content of the card control, the cipher under which three files
are stored, what the data signature covers and how its result is coded, status words after a wrong
cryptogram or MAC, the SAM's ATR and number, and the synthetic PCID and CONFIG, which open no real SAM.
"""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from drivers.card.apdu import Sw
from drivers.card.ektp.files import CARD_CONTROL_READ, DATA_SIGNATURE_SIZE, PREFIX
from drivers.card.ektp.sam import SamSecrets
from drivers.card.secure_messaging import BLOCK, Keys, decrypt, encrypt
from drivers.sensitive import SensitiveBytes

SAM_ATR = bytes.fromhex("3B8601 53414D454D55 85")
"""Historical bytes "SAMEMU", T=1: says what it is."""
SAM_UID = bytes.fromhex("00 53414D454D55")

PCID = hashlib.sha256(b"mpos-agent virtual SAM: PCID, opens nothing real").digest()[:16]
CONFIG = hashlib.sha256(b"mpos-agent virtual SAM: CONFIG, opens nothing real").digest()

SW_WRONG_PASSWORD = Sw.SECURITY_STATUS_NOT_SATISFIED
SW_WRONG_CRYPTOGRAM = Sw.AUTHENTICATION_FAILED
SW_WRONG_MAC = Sw.SM_OBJECTS_INCORRECT
SW_OUT_OF_ORDER = Sw.CONDITIONS_NOT_SATISFIED
SW_TWO_CARDS = Sw.AUTHENTICATION_FAILED
"""What a reader says to *get UID* when cards collide: 6300, "no information" (PC/SC part 3)."""

SIGNATURE_VALID = bytes.fromhex("0010")
"""One program treats it as success; nothing confirms it."""
SIGNATURE_NOT_PROVEN = bytes.fromhex("0001")
"""The one answer in all traffic, which skipped the photo."""

OLD_CARD_CONTROL = 24
"""On the card with this length the data signature did not parse as DER."""

_MASTER = hashlib.sha256(b"mpos-agent virtual e-KTP: master key").digest()
_ISSUER = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"mpos-agent virtual e-KTP: issuer key").digest(), "big") >> 1, ec.SECP256R1()
)


def sam_secrets() -> SamSecrets:
    """PCID and CONFIG of the virtual SAM, fresh (secrets are wiped and latched by their users)."""
    return SamSecrets(SensitiveBytes(PCID), SensitiveBytes(CONFIG))


def card_control(uid: bytes, length: int) -> bytes:
    """High-entropy bytes of one card, by its 8-byte number; 51 bytes end the file, ``00 00 01`` as on cards seen."""
    content = hashlib.shake_256(b"mpos-agent card control" + uid).digest(length)
    return content[:-3] + b"\x00\x00\x01" if PREFIX + length == CARD_CONTROL_READ else content


def card_control_file(control: bytes) -> bytes:
    """``6FF0``: length, content, filler to 53 bytes, the last three ``00 00 01``."""
    file = len(control).to_bytes(PREFIX, "big") + control
    if len(file) >= CARD_CONTROL_READ:
        return file
    filler = hashlib.shake_256(b"mpos-agent filler" + control).digest(CARD_CONTROL_READ - len(file))
    return file + filler[:-3] + b"\x00\x00\x01"


def static_keys(control: bytes, uid: bytes) -> Keys:
    """Keys of the mutual authentication, diversified by card control and 8-byte number."""
    return Keys.derive(_diversified(control, uid))


def at_rest_key(control: bytes, uid: bytes) -> bytes:
    """Key of the cipher under which ``6FF3`` to ``6FF5`` are stored, 16 bytes."""
    return hashlib.sha256(_diversified(control, uid) + b"at rest").digest()[:16]


def encipher_at_rest(key: bytes, content: bytes) -> bytes:
    """3DES-CBC from offset 0, length prefix included, zeros to a whole block."""
    return encrypt(key, content + bytes(-len(content) % BLOCK))


def decipher_at_rest(key: bytes, blocks: bytes, previous: bytes) -> bytes:
    """Whole blocks as they pass; ``previous`` is the ciphertext block in front of them (zeros at first)."""
    return decrypt(key, blocks, previous)


def sign(digest: bytes) -> bytes:
    """ECDSA P-256 over the SHA-256 of biodata, photo, signature image and both minutiae files, DER."""
    return _ISSUER.sign(digest, ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True))


def signature_valid(signature: bytes, digest: bytes) -> bool:
    """Whether the issuer signed this digest."""
    try:
        _ISSUER.public_key().verify(signature, digest, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True


def signature_file(der: bytes, control_length: int) -> bytes:
    """The 80 bytes of ``6FF6``: length and DER; on old cards the two bare numbers between odd bytes."""
    if control_length != OLD_CARD_CONTROL:
        return (len(der).to_bytes(PREFIX, "big") + der).ljust(DATA_SIGNATURE_SIZE, b"\x00")
    r, s = decode_dss_signature(der)
    return b"\xa5" * 8 + r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\x5a" * 8


def signature_from_file(content: bytes) -> bytes:
    """DER out of either form of ``6FF6``; what is neither comes back as bytes that verify nothing."""
    if content[:8] == b"\xa5" * 8:
        return encode_dss_signature(int.from_bytes(content[8:40], "big"), int.from_bytes(content[40:72], "big"))
    return content[PREFIX : PREFIX + int.from_bytes(content[:PREFIX], "big")]


def _diversified(control: bytes, uid: bytes) -> bytes:
    return hashlib.sha256(_MASTER + control + uid).digest()[:16]
