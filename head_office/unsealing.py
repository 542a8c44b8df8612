"""From a stored packet to its bytes: signature checked once more, then decrypted. For the workers that hold keys."""

from collections.abc import Mapping

from head_office.ledger.base import Row
from sync.envelope import open_envelope, recipients_of, verify
from sync.errors import Refusal, WireError
from sync.keys import PublicKey
from sync.recipients import RecipientPrivateKey

RecipientKeys = Mapping[bytes, RecipientPrivateKey]
"""By key id."""


def packet_bytes(row: Row, signing: Mapping[bytes, PublicKey], recipients: RecipientKeys) -> bytes | None:
    """The packet of a row of ``packets``; None when it was signed by none of ``signing``. Raises WireError."""
    key = signing.get(bytes(row["signer_kid"] or b""))
    if key is None:
        return None
    verified = verify(bytes(row["envelope"]), key)
    for kid, _suite in recipients_of(verified.payload):
        if kid in recipients:
            return open_envelope(verified, recipients[kid])
    raise WireError(Refusal.NOT_A_RECIPIENT)
