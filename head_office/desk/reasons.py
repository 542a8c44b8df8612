"""Why a packet is on nobody's desk, in a sentence, Indonesian first; the code beside it is what manuals speak of."""

from collections.abc import Mapping

REASONS: Mapping[str, tuple[str, str]] = {
    "fork": ("Dua paket berbeda dengan nomor urut yang sama", "Two different packets under one number"),
    "chain_broken": ("Tidak menyambung ke paket sebelumnya", "Does not follow from the packet before"),
    "lane_frozen": ("Antrean perangkat dibekukan", "The device's queue is frozen"),
    "gap": ("Paket sebelumnya belum datang", "A packet before it has not come"),
    "successor_first": (
        "Paket sesudahnya juga rusak, ditunggu lebih dulu",
        "The one after it was spoilt, too, and comes first",
    ),
    "old_key": (
        "Ditandatangani dengan kunci yang sudah diganti: mungkin ada salinannya",
        "Signed with a key the device had replaced: somebody may have a copy",
    ),
    "epoch_not_announced": ("Antrean belum diumumkan perangkat", "A queue the device has not announced"),
    "unknown_key": ("Kunci tanda tangan tidak dikenal", "Signed with a key that is not known here"),
    "bad_signature": ("Tanda tangan tidak cocok: isi rusak atau diubah", "Signature does not fit: spoilt or changed"),
    "wrong_device": ("Menyebut perangkat lain", "Names another device"),
    "not_a_recipient": ("Tidak dienkripsi untuk kantor pusat", "Not encrypted to head office"),
    "not_opened": ("Tidak dapat dibuka", "Does not open"),
    "unknown_version": ("Versi yang belum dikenal", "A version not known here"),
    "unknown_type": ("Jenis paket yang belum dikenal", "A kind of packet not known here"),
    "unknown_suite": ("Cara enkripsi yang belum dikenal", "A cipher suite not known here"),
    "packet_id_reused": ("Nomor paket sudah dipakai", "Its packet id was used before"),
    "part_differs": (
        "Bagian dokumen ini sudah ada dengan isi lain",
        "This part of the document is here already, with other content",
    ),
    "part_contradicts": (
        "Tidak cocok dengan bagian lain dari dokumen yang sama",
        "Does not fit the other parts of the same document",
    ),
    "truncated": ("Terpotong", "Cut short"),
    "not_cbor": ("Tidak terbaca", "Not readable"),
    "opening_failed": ("Kesalahan program saat membuka", "A fault of this program while opening"),
}


def sentence(reason: str, language: str) -> str:
    """The sentence for a reason; for one without, that its form is wrong."""
    pair = REASONS.get(reason, ("Bentuknya tidak sesuai", "Its form is wrong"))
    return pair[1 if language == "en" else 0]
