"""The files of the eMRTD application: ids, tags, how long they may be (ICAO Doc 9303 part 10). Pure."""

from dataclasses import dataclass

APPLICATION = bytes.fromhex("A0000002471001")
"""Selected by name. A card that does not select it is no eMRTD."""

SELECT_BY_ID = (0x02, 0x0C)
"""P1 and P2: an elementary file below the application, no answer data."""

READ_CHUNK = 223
"""With padding 224 bytes of ciphertext; the whole protected answer (242 bytes) fits one short APDU."""
FIRST_READ = 8
"""Tag (at most two bytes) and length (at most four)."""
REACH = 0x7FFF
"""READ BINARY with a plain offset reaches no further (15 bits)."""


@dataclass(frozen=True, slots=True)
class PassportFile:
    """One elementary file. ``longest`` bounds what is read of it, tag and length included."""

    file_id: int
    tag: int
    name: str
    longest: int


COM = PassportFile(0x011E, 0x60, "EF.COM", 256)
"""Which data groups there are."""
DG1 = PassportFile(0x0101, 0x61, "DG1", 256)
"""The machine-readable zone: 93 bytes in a passport."""
DG2 = PassportFile(0x0102, 0x75, "DG2", REACH)
"""The face; 10 to 25 kB as a rule."""
SOD = PassportFile(0x011D, 0x77, "EF.SOD", REACH)
"""Hashes of the data groups, signed by the issuing state."""
