"""Made-up fingerprint records shaped as those on real cards: nobody's finger."""

import random

MAGIC = b"FMR\x00 20\x00"


def chip_template(seed: int, position: int, minutiae: int | None = None) -> bytes:
    """A record of random minutiae with the oddities of real chips.

    Image 0 x 0, quality 254, 40 to 60 minutiae, all "ending", minutia quality 50 or 9, unsorted.
    """
    dice = random.Random(seed)
    count = dice.randint(40, 60) if minutiae is None else minutiae
    body = b"".join(
        (0x4000 | dice.randint(81, 370)).to_bytes(2, "big")
        + dice.randint(87, 506).to_bytes(2, "big")
        + bytes([dice.randrange(256), dice.choice((50, 9))])
        for _ in range(count)
    )
    header = MAGIC + (30 + 6 * count).to_bytes(4, "big") + bytes(6) + bytes.fromhex("00C5 00C5 01 00")
    return header + bytes([position, 0x00, 0xFE, count]) + body + bytes(2)
