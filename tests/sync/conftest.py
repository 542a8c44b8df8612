"""A device and a head office, as far as keys go."""

from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import settings

from sync.keys import Algorithm, SoftwareSigner
from sync.recipients import RecipientPrivateKey, Suite

# A busy machine makes single examples slow; what matters here is the answer, never how long it took.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")


@dataclass(frozen=True)
class Keys:
    """Both ends' keys; ``device`` signs with the algorithm the test is run for."""

    device: SoftwareSigner
    receipts: SoftwareSigner
    hybrid: RecipientPrivateKey
    classic: RecipientPrivateKey


def a_signer(algorithm: Algorithm) -> SoftwareSigner:
    """A fresh key."""
    if algorithm is Algorithm.EDDSA:
        return SoftwareSigner(ed25519.Ed25519PrivateKey.generate())
    return SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session", params=list(Algorithm), ids=lambda algorithm: algorithm.name)
def keys(request: pytest.FixtureRequest) -> Keys:
    """The same keys with a device that signs with Ed25519, then with one whose token has P-256 only."""
    return Keys(
        device=a_signer(request.param),
        receipts=a_signer(Algorithm.EDDSA),
        hybrid=RecipientPrivateKey.generate(Suite.MLKEM768_X25519),
        classic=RecipientPrivateKey.generate(Suite.X25519),
    )
