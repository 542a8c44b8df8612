"""An operator is signed in at one application, until leaving or being idle too long."""

import pytest

from mpos_agent.errors import NotSignedInError
from mpos_agent.sign_in import SignedIn, SignIns

WHO = SignedIn("OP1", "counter")


class Seconds:
    """A clock that stands still until told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_sign_in_stays_while_it_is_used() -> None:
    """Working through a long claim does not sign anybody out."""
    seconds = Seconds()
    present = SignIns(idle_s=10, monotonic=seconds)
    token = present.enter(WHO)
    for seconds.now in (9.0, 18.0, 27.0):
        assert present.who(token, "counter") == WHO


def test_an_idle_operator_is_signed_out() -> None:
    """A counter left alone does not keep somebody's name on claims."""
    seconds = Seconds()
    present = SignIns(idle_s=10, monotonic=seconds)
    token = present.enter(WHO)
    seconds.now = 10.5
    with pytest.raises(NotSignedInError):
        present.who(token, "counter")


def test_another_application_cannot_use_the_sign_in() -> None:
    """A token seen by another program on this machine is worth nothing to it."""
    present = SignIns(idle_s=10, monotonic=Seconds())
    token = present.enter(WHO)
    with pytest.raises(NotSignedInError):
        present.who(token, "other")
    assert present.who(token, "counter") == WHO


def test_after_signing_out_the_token_is_dead() -> None:
    """Leaving means leaving, also when said twice."""
    present = SignIns(idle_s=10, monotonic=Seconds())
    token = present.enter(WHO)
    present.leave(token)
    present.leave(token)
    with pytest.raises(NotSignedInError):
        present.who(token, "counter")
