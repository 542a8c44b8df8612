"""What keeps a passport's chip from being read, beside what can happen to every card."""

from drivers.card.errors import StatusWordError
from drivers.errors import DeviceError


class NotAPassportError(DeviceError):
    """The card has no eMRTD application: another card, or a passport without a chip."""

    code = "not_a_passport"


class MrzMismatchError(StatusWordError):
    """The chip does not open with these three fields: one was mistyped, or another passport lies on the reader.

    Chips answer more slowly after each wrong key; one try is made per call.
    """

    code = "mrz_mismatch"


class PassportAccessError(StatusWordError):
    """The chip does not offer basic access control: newer ones ask for PACE, which is not spoken here."""

    code = "passport_access"
    retryable = False
