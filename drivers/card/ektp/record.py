"""What one complete read of an e-KTP gives."""

import enum
from dataclasses import dataclass, field

from drivers.card.ektp.biodata import Biodata
from drivers.sensitive import SensitiveBytes


class CardType(enum.Enum):
    """Radio type of the chip, found by asking it, never from the ATR."""

    A = "A"
    B = "B"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSignature:
    """What the SAM said of the data signature (``FA 04``). The codes are not public: kept raw."""

    raw: bytes

    @property
    def code(self) -> str:
        """The two bytes as hex, for the packet."""
        return self.raw.hex()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CardRecord:
    """Holder, photo and templates of one card, read in one transaction.

    ``templates`` are ISO/IEC 19794-2 records in file order (``6FF4``, ``6FF5``); a missing finger is
    left out. They are wiped by :meth:`wipe`, which whoever holds the record must call on every way out.
    """

    reader: str
    sam_reader: str
    sam_uid: bytes
    card_type: CardType
    biodata: Biodata
    photo: bytes = field(repr=False)
    """JPEG from SOI to EOI; empty when the chip held none. Free to read: alone it proves nothing."""
    signature_image: SensitiveBytes
    templates: tuple[SensitiveBytes, ...] = field(repr=False)
    chip_authenticated: bool
    """Mutual authentication succeeded: a genuine chip. Says nothing of the data signature."""
    data_signature: DataSignature
    warnings: tuple[str, ...] = ()
    """Oddities that were met and passed over, as stable words (``card_control_length``, ...)."""

    def wipe(self) -> None:
        """Overwrite templates and signature image; safe to call twice."""
        self.signature_image.wipe()
        for template in self.templates:
            template.wipe()
