"""What is known of card readers by name: data in ``reader_profiles.toml``, and which slot is what. Pure."""

import enum
import functools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

_SLOT = re.compile(r" [0-9A-Fa-f]{2} ([0-9A-Fa-f]{2})$")
"""Names end in reader and slot number, hexadecimal."""


class Role(enum.Enum):
    """What a slot is for, by its name."""

    CARD = "card"
    """Has the antenna."""
    SAM = "sam"
    """Takes a SAM."""
    NEITHER = "neither"
    """Another slot of a reader whose slots are known."""
    UNKNOWN = "unknown"
    """A reader nobody described here, or a slot of it whose use is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderProfile:
    """One model; the fields are explained at the head of the data file."""

    model: str
    usb: tuple[str, ...]
    name: str
    known: str
    note: str
    card_part: str = ""
    sam_part: str = ""
    sam_slot: int | None = None
    slot_switch: bool = False

    def role(self, reader: str) -> Role:
        """What this slot of such a reader is for."""
        if self.card_part and self.card_part in reader:
            return Role.CARD
        if self.sam_part and self.sam_part in reader:
            return Role.SAM
        if self.sam_slot is not None and slot_number(reader) == self.sam_slot:
            return Role.SAM
        return Role.NEITHER if self.card_part and self.sam_part else Role.UNKNOWN


@functools.cache
def profiles() -> tuple[ReaderProfile, ...]:
    """Every model that is described."""
    content = tomllib.loads(files("drivers.card").joinpath("reader_profiles.toml").read_text(encoding="utf-8"))
    return tuple(ReaderProfile(**{**entry, "usb": tuple(entry["usb"])}) for entry in content["reader"])


def profile_of(reader: str, known: Sequence[ReaderProfile] | None = None) -> ReaderProfile | None:
    """The model a slot belongs to, by what its name contains."""
    return next((one for one in (profiles() if known is None else known) if one.name in reader), None)


def role_of(reader: str) -> Role:
    """What a slot is for; UNKNOWN where its model is not described."""
    profile = profile_of(reader)
    return Role.UNKNOWN if profile is None else profile.role(reader)


def slot_number(reader: str) -> int | None:
    """The last number of a name; None where it has none."""
    found = _SLOT.search(reader)
    return None if found is None else int(found[1], 16)
