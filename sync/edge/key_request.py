"""Certificate requests (PKCS#10) for a key wherever it is: all that is asked of it is a signature."""

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from sync.edge.device_key import DeviceKey
from sync.keys import Algorithm


def request_for(key: DeviceKey, device_serial: str) -> bytes:
    """DER. The name is a label only: head office gives the device its id."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_serial)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if key.algorithm is Algorithm.EDDSA:
        return builder.sign(_Ed25519(key), None).public_bytes(serialization.Encoding.DER)
    return builder.sign(_P256(key), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _refuse(*_: Any) -> Any:
    raise TypeError("this key signs and does nothing else")


_never: Any = _refuse


class _Ed25519(ed25519.Ed25519PrivateKey):
    """A device key in the shape the request builder takes."""

    def __init__(self, key: DeviceKey) -> None:
        self._key = key

    def public_key(self) -> ed25519.Ed25519PublicKey:
        assert isinstance(self._key.public_key, ed25519.Ed25519PublicKey)
        return self._key.public_key

    def sign(self, data: Any) -> bytes:
        return self._key.sign(bytes(data))

    private_bytes = private_bytes_raw = __copy__ = __deepcopy__ = _never


class _P256(ec.EllipticCurvePrivateKey):
    """The same for P-256; X.509 wants the signature in DER."""

    def __init__(self, key: DeviceKey) -> None:
        self._key = key

    def public_key(self) -> ec.EllipticCurvePublicKey:
        assert isinstance(self._key.public_key, ec.EllipticCurvePublicKey)
        return self._key.public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.public_key().curve

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def sign(self, data: Any, _algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        raw = self._key.sign(bytes(data))
        return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    exchange = private_numbers = private_bytes = __copy__ = __deepcopy__ = _never
