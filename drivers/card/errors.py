"""What a card, a SAM or the reader in between did."""

from drivers.errors import DeviceError, DeviceRemovedError


class NoCardError(DeviceError):
    """No card lies on the reader."""

    code = "no_card"
    retryable = True


class CardRemovedError(DeviceRemovedError):
    """The card left the field in the middle of an exchange."""

    code = "card_removed"
    retryable = True


class SeveralCardsError(DeviceError):
    """Cards lie on several readers, and nobody can say whose turn it is."""

    code = "several_cards"
    retryable = True


class SamMissingError(DeviceError):
    """No SAM answers in the configured slot."""

    code = "sam_missing"
    retryable = True


class SamLockedError(DeviceError):
    """The SAM refused to open (6982). Never tried again by itself: a second wrong try may cost the SAM."""

    code = "sam_locked"


class UnknownChipError(DeviceError):
    """The card has no KTP-el application (SELECT 7F0A refused): another card, or an unknown generation."""

    code = "unknown_chip"


class StatusWordError(DeviceError):
    """A status word that is not expected at this step."""

    code = "status_word"
    retryable = True

    def __init__(self, device: str, doing: str, sw: int, detail: str = "") -> None:
        super().__init__(device, doing, f"status word {sw:04X}" + (f", {detail}" if detail else ""))
        self.sw = sw


class ChipAuthenticationError(StatusWordError):
    """Mutual authentication between chip and SAM failed. Evidence, not a verdict on the card."""

    code = "chip_authentication"


class ChipDataError(DeviceError):
    """A file on the chip does not have the shape it must have (length, number of fields, torn chunk)."""

    code = "chip_data"
    retryable = True


class SamSecretsError(DeviceError):
    """The file with PCID and CONFIG is missing, of another size, or readable by others."""

    code = "sam_secrets"
