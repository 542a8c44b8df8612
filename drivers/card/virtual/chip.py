"""Kinds of e-KTP chip as readers show them: radio type, ATR, numbers, card-control length.

ATRs are those of the public smart-card list; numbers are synthetic.
"""

from dataclasses import dataclass

from drivers.card.ektp.record import CardType


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipProfile:
    """One kind of chip. ``serial`` has 7 bytes on type A (the UID) and 8 on type B."""

    name: str
    card_type: CardType
    atr: bytes
    serial: bytes
    control_length: int
    """Bytes in the card control: 24, 29 or 51 on cards seen."""

    @property
    def working_uid(self) -> bytes:
        """The 8 bytes the authentication works with."""
        return b"\x80" + self.serial if self.card_type is CardType.A else self.serial

    @property
    def reader_uid(self) -> bytes:
        """What the reader answers to *get UID*: the whole number on type A, the 4-byte PUPI on type B."""
        return self.serial if self.card_type is CardType.A else self.serial[:4]


NXP_A = ChipProfile(
    name="type A, eKTP0D2eKTP",
    card_type=CardType.A,
    atr=bytes.fromhex("3B8B8001 654B545030443265 4B5450 4C"),
    serial=bytes.fromhex("04990000000001"),
    control_length=51,
)
P308_A = ChipProfile(
    name="type A, P308G0P3_10",
    card_type=CardType.A,
    atr=bytes.fromhex("3B8B8001 50333038 47305033 5F3130 2B"),
    serial=bytes.fromhex("04990000000002"),
    control_length=29,
)
A079141 = ChipProfile(
    name="type A, 079141_001",
    card_type=CardType.A,
    atr=bytes.fromhex("3B8A8001 3037393134315F303031 6F"),
    serial=bytes.fromhex("04990000000003"),
    control_length=24,
)
TYPE_B = ChipProfile(
    name="type B",
    card_type=CardType.B,
    atr=bytes.fromhex("3B8C8001 50 11223344 30AAAA01 7781D7 09"),
    serial=bytes.fromhex("11223344 99000004"),
    control_length=51,
)

PROFILES = (NXP_A, P308_A, A079141, TYPE_B)
