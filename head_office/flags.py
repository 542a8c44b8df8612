"""What a person should know before deciding: each flag is a reason to look, none is a decision; pure.

A flag names a rule that has seen something. What the device's own checks warned of comes along under its own code.
"""

from datetime import datetime, timedelta

from sync.packet import BioOutcome, ChipAuth, ClaimPacket, ClockTrust, NameMatch, PhotoCompare, Purpose

# A device's clock may run ahead a little without anybody being at fault.
CLOCK_AHEAD = timedelta(minutes=5)


def flags_of(
    packet: ClaimPacket,
    *,
    stored_at: datetime,
    sealed_at: datetime,
    not_before: datetime,
    other_open: bool,
    site_differs: bool,
    id_of_another_device: bool,
) -> tuple[str, ...]:
    """The flags of one claim, most serious first.

    ``stored_at`` is head office's time, ``sealed_at`` what the device's clock said; before ``not_before`` the device
    cannot have made a claim. ``other_open`` says that another claim of the same person or card in the same programme
    awaits its decision, ``site_differs`` that the packet names another place than the device was enrolled for,
    ``id_of_another_device`` that a claim of another device has this packet's id.
    """
    rules = (
        ("DRILL", packet.purpose is Purpose.DRILL),
        ("PACKET_ID_REUSED", id_of_another_device),
        ("DUPLICATE_OPEN", other_open),
        ("SITE_DIFFERS", site_differs),
        ("CHIP_AUTH_FAIL", packet.chip_auth is ChipAuth.FAIL),
        ("PHOTO_NOT_SAME", packet.photo_compare in (PhotoCompare.NOT_SAME, PhotoCompare.UNSURE)),
        ("MANUAL_PATH", packet.bio.outcome is not BioOutcome.MATCH),
        ("PENDING_SUPERVISOR", packet.fallback is not None and packet.fallback.pending_supervisor),
        (
            "CLOCK_DOUBT",
            packet.clock_trust is ClockTrust.DOUBTFUL
            or max(packet.captured_at, sealed_at) > stored_at + CLOCK_AHEAD
            or min(packet.captured_at, sealed_at) < not_before,
        ),
        ("BANK_NAME_DIFFERS", packet.bank is not None and packet.bank.name_match is NameMatch.MISMATCH),
        ("INCOMPLETE", bool(packet.missing_documents)),
    )
    raised = [code for code, seen in rules if seen]
    return tuple(dict.fromkeys((*raised, *packet.warnings)))
