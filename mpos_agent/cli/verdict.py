"""What head office said of one packet, in words for people: "held" is never shown as "accepted"."""

import enum
from collections.abc import Mapping
from typing import Any

_TWO_HISTORIES = ("mesin ini atau salinannya digandakan", "this machine was cloned or restored")
_REASONS: Mapping[str, tuple[str, str]] = {
    "fork": _TWO_HISTORIES,
    "chain_broken": _TWO_HISTORIES,
    "lane_frozen": _TWO_HISTORIES,
    "bad_signature": ("isinya berubah sejak disegel", "its bytes changed after it was sealed"),
    "wrong_device": ("dari mesin lain", "of another machine"),
}


class Standing(enum.Enum):
    """Where a packet stands between this machine and head office."""

    WAITING = enum.auto()
    ACCEPTED = enum.auto()
    HELD = enum.auto()
    REFUSED = enum.auto()


def standing(packet: Mapping[str, Any] | None) -> Standing:
    """Read from the row of the queue; ``None`` stands for a packet whose row has not been seen yet."""
    if packet is None:
        return Standing.WAITING
    if packet["state"] == "DEAD":
        return Standing.REFUSED
    if packet["receipt_no"] is None:
        return Standing.WAITING
    return Standing.HELD if packet["verdict"] == "quarantined" else Standing.ACCEPTED


def because(packet: Mapping[str, Any]) -> tuple[str, str]:
    """Head office's reason, Indonesian and English; its own word where we have no better one."""
    reason = str(packet["reason"] or packet["verdict"] or "-")
    words = _REASONS.get(reason)
    return (reason, reason) if words is None else (f"{words[0]} ({reason})", f"{words[1]} ({reason})")


_DECISIONS: Mapping[str, tuple[str, str, str]] = {
    "approved": ("green", "disetujui", "approved"),
    "returned": ("yellow", "dikembalikan", "returned"),
    "rejected": ("red", "ditolak", "rejected"),
}


def decision(packet: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What people at head office decided of a claim: colour, Indonesian, English; None while they have not."""
    answer = packet.get("answer")
    decided = answer["decided"] if answer else None
    if not decided:
        return None
    colour, word_id, word_en = _DECISIONS[decided["status"]]
    agenda = f" (agenda {decided['agenda_no']})" if decided["agenda_no"] else ""
    reason = f": {decided['reason']}" if decided["reason"] else ""
    return colour, f"{word_id}{agenda}{reason}", f"{word_en}{agenda}{reason}"
