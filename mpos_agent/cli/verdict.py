"""What head office said of one packet, in words for people: "held" is never shown as "accepted"."""

import enum
from collections.abc import Mapping
from typing import Any

from mpos_agent.outcomes import TABLE
from sync.errors import Refusal

_TWO_HISTORIES = ("mesin ini atau salinannya digandakan", "this machine was cloned or restored")
_REASONS: Mapping[str, tuple[str, str]] = {
    "fork": _TWO_HISTORIES,
    "chain_broken": _TWO_HISTORIES,
    "lane_frozen": _TWO_HISTORIES,
    "bad_signature": ("isinya berubah sejak disegel", "its bytes changed after it was sealed"),
    "wrong_device": ("dari mesin lain", "of another machine"),
}

_SPOILT = (
    "isinya rusak sejak disegel, dikirim bersama paket sesudahnya",
    "spoilt since it was sealed, goes with the next",
)
_NOT_UNDERSTOOD = ("kantor pusat belum mengenal bentuknya", "head office does not know its form yet")
_WAITING: Mapping[str, tuple[str, str]] = {
    "gap": ("kantor pusat menunggu paket sebelumnya", "head office waits for one before it"),
    "epoch_not_announced": ("antreannya belum dikenal kantor pusat", "head office has not heard of its chain yet"),
    "successor_first": ("kantor pusat menunggu paket sesudahnya", "head office waits for the one after it"),
    "unknown_key": ("kunci mesin ini belum dikenal kantor pusat", "head office does not know this machine's key yet"),
    "other_cluster": ("mesin ini pindah ke server lain", "this machine moves to another server"),
    "wrong_device": ("menyebut mesin lain", "names another machine"),
    "other_bytes": ("jawaban untuk isi lain di nomor ini", "the answer was about other bytes in this place"),
    "older_receipt": (
        "tanda terima lebih lama dari permintaan ulang",
        "the receipt is older than the request to send again",
    ),
    "not_in_receipt": ("tidak disebut dalam tanda terima", "not named in the receipt"),
    "retry_later": ("kantor pusat minta dikirim lagi nanti", "head office asks for it again later"),
    "unknown_version": _NOT_UNDERSTOOD,
    "unknown_algorithm": _NOT_UNDERSTOOD,
    "unknown_suite": _NOT_UNDERSTOOD,
    "unknown_critical": _NOT_UNDERSTOOD,
    "client_certificate_required": ("sertifikat mesin ini tidak sampai", "this machine's certificate did not arrive"),
    "client_certificate_refused": ("sertifikat mesin ini tidak diterima", "this machine's certificate is not accepted"),
    "client_certificate_expired": ("sertifikat mesin ini sudah berakhir", "this machine's certificate has run out"),
    "keys_replaced": ("kunci mesin ini sudah diganti", "this machine's keys were replaced"),
    "not_your_checkpoint": ("laporan mesin ini tidak diakui", "this machine's report is not accepted"),
    "bad_request": ("permintaan tidak terbaca kantor pusat", "head office cannot read the request"),
    "too_large": ("permintaan terlalu besar", "the request is too large"),
    "storage_unavailable": ("kantor pusat belum dapat menyimpan", "head office cannot store at the moment"),
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


def waits_because(packet: Mapping[str, Any]) -> tuple[str, str]:
    """Why a packet waits, Indonesian and English, with the word it is looked up by in the manual."""
    word = packet["last_error"]
    if not word:
        return "belum dikirim", "not sent yet"
    trouble = TABLE.get(f"head_office_{word}")
    if word in _WAITING:
        text_id, text_en = _WAITING[word]
    elif trouble is not None:
        text_id, text_en = trouble.cause_id, trouble.cause_en
    elif word in set(Refusal):
        text_id, text_en = _SPOILT
    else:
        text_id, text_en = "belum diterima kantor pusat", "head office has not taken it yet"
    return f"{text_id} ({word})", f"{text_en} ({word})"


def not_all_taken(last: Mapping[str, Any]) -> tuple[str, str]:
    """What is said of a round that reached head office and did not deliver everything."""
    left, sent = last["left"], last["sent"]
    return (
        f"terhubung, tetapi {left} dari {sent} paket belum diterima: mpos-agent outbox",
        f"reached, but {left} of {sent} packets not taken yet: mpos-agent outbox",
    )


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
