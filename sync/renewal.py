"""Messages of ``POST /v1/renew``: new certificates for the same keys, or for new ones; pure.

The request is a COSE_Sign1 made with the device's *present* signing key. The TLS certificate on the connection says
which device asks; it alone must not be enough, because TLS may end at a proxy while custody stays end to end.
The reply carries certificates, which prove themselves against the pinned authority, and no other trust.
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sync import cbor, cose
from sync.envelope import DEVICE_ID
from sync.errors import CborError, CoseError, Refusal, RenewalError, WireError
from sync.keys import PublicKey, Signer
from sync.records import Blob, Record, Whole

VERSION = 1
PATH = "/v1/renew"
TYP = "application/vnd.mpos.renewal+cose"
MAX_REQUEST_BYTES = 16 * 1024
MAX_REPLY_BYTES = 32 * 1024
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRequest(Record):
    """What the device signs. Kept and sent again unchanged until it is answered: the same bytes, the same answer."""

    refuse: ClassVar[type[WireError]] = RenewalError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    nonce: Annotated[bytes, Blob(NONCE_BYTES)]
    """Tells one renewal of the same keys from the next."""
    tls_csr: Annotated[bytes, Blob(4096, least=1)]
    """PKCS#10, DER."""
    signing_csr: Annotated[bytes, Blob(4096, least=1)]
    """PKCS#10, DER, of the key that signs packets from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewReply(Record):
    """Two certificates, DER."""

    refuse: ClassVar[type[WireError]] = RenewalError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    tls_certificate: Annotated[bytes, Blob(8192, least=1)]
    signing_certificate: Annotated[bytes, Blob(8192, least=1)]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A parsed request: what the sender *claims* until :meth:`verified` gives it back."""

    claimed: RenewRequest
    signed: cose.Sign1 = field(repr=False)

    def verified(self, public_key: PublicKey) -> RenewRequest:
        """The request, if the key's holder signed it. Raises RenewalError."""
        try:
            self.signed.verify(public_key)
        except CoseError as error:
            raise RenewalError(error.refusal, error.field, error.detail) from error
        return self.claimed


def sign_request(request: RenewRequest, signer: Signer) -> bytes:
    """The request body."""
    protected = cose.protect(TYP, signer.algorithm, signer.kid, {})
    return cose.sign(protected, cbor.encode(request.to_map()), signer)


def read_request(data: bytes) -> SignedRequest:
    """Parse a request body. Checks no signature. Raises RenewalError with the named reason."""
    try:
        message = cose.parse(data, TYP, frozenset(), max_bytes=MAX_REQUEST_BYTES)
        value = _map(message.payload, MAX_REQUEST_BYTES)
    except (CborError, CoseError) as error:
        raise RenewalError(error.refusal, error.field, error.detail) from error
    return SignedRequest(RenewRequest.from_map(value), message)


def encode_reply(reply: RenewReply) -> bytes:
    """The reply body."""
    return cbor.encode(reply.to_map())


def decode_reply(data: bytes) -> RenewReply:
    """Raises RenewalError with the named reason."""
    try:
        return RenewReply.from_map(_map(data, MAX_REPLY_BYTES))
    except CborError as error:
        raise RenewalError(error.refusal, error.field, error.detail) from error


def _map(data: bytes, max_bytes: int) -> object:
    value = cbor.decode(data, max_bytes=max_bytes, max_items=64, max_depth=3)
    if isinstance(value, dict) and "version" in value and value["version"] != VERSION:
        # Before unknown keys: a later version should be called that, not a malformed first one.
        raise RenewalError(Refusal.UNKNOWN_VERSION, "version")
    return value
