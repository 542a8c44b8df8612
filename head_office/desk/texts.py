"""The desk's words, Indonesian first, English beside."""

from collections.abc import Mapping

LANGUAGES = ("id", "en")

TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("EC5071 - Data Biometrik", "EC5071 - Biometric Data"),
    "panel": ("Persetujuan Data", "Approval Data"),
    "search_by": ("Cari menurut", "Search by"),
    "choose": ("Pilih", "Choose"),
    "choose_first": (
        "Pilih dahulu apa yang dicari; semua klaim ditampilkan.",
        "Choose what to search by; all claims are shown.",
    ),
    "keyword": ("Kata kunci", "Keyword"),
    "show": ("TAMPILKAN", "SHOW"),
    "agenda": ("No Agenda Klaim", "Agenda No"),
    "npp": ("NPP", "NPP"),
    "company": ("Nama Perusahaan", "Company"),
    "name": ("Nama Lengkap", "Full Name"),
    "kpj": ("KPJ", "KPJ"),
    "nik": ("NIK", "NIK"),
    "date": ("Tgl Agenda", "Agenda Date"),
    "na": ("Kode NA", "NA Code"),
    "action": ("Aksi", "Action"),
    "detail": ("Detail", "Detail"),
    "open": ("Lihat", "View"),
    "entries": ("Menampilkan {first} sampai {last} dari {total} entri", "Showing {first} to {last} of {total} entries"),
    "nothing": ("Tidak ada klaim yang sesuai.", "No claim fits."),
    "empty": ("Belum ada klaim.", "No claims yet."),
    "previous": ("Sebelumnya", "Previous"),
    "next": ("Berikutnya", "Next"),
    "page": ("Halaman {number} dari {last}", "Page {number} of {last}"),
    "language": ("English", "Bahasa Indonesia"),
    "user": ("Pengguna", "User"),
    "quarantined": ("Paket dikarantina", "Packets in quarantine"),
    "waiting": ("Menunggu dibuka", "Waiting to be opened"),
    "alarms": ("Alarm", "Alarms"),
    "receipt": ("Tanda terima", "Receipt"),
    "programme": ("Program", "Programme"),
    "reason": ("Sebab klaim", "Reason"),
    "branch": ("Kantor cabang", "Branch"),
    "device": ("Perangkat", "Device"),
    "captured": ("Waktu rekam", "Captured"),
    "path": ("Jalur", "Path"),
    "flags": ("Catatan", "Flags"),
    "none": ("tidak ada", "none"),
    "PENDING": ("Menunggu", "Pending"),
    "BIOMETRIC": ("Sidik jari cocok", "Finger matched"),
    "MANUAL": ("Manual, perlu orang kedua", "Manual, needs a second person"),
    "NA": ("NA", "NA"),
    "AKTIF": ("AKTIF", "AKTIF"),
    "UNKNOWN": ("-", "-"),
    "MANUAL_PATH": ("Identitas tidak diverifikasi dengan sidik jari", "Identity not verified by finger"),
    "CLOCK_DOUBT": ("Jam perangkat diragukan", "Device clock in doubt"),
    "PACKET_ID_REUSED": (
        "Mesin lain mengirim klaim dengan nomor paket yang sama",
        "Another device sent the same packet id",
    ),
    "DUPLICATE_OPEN": ("Klaim lain untuk orang dan program ini masih terbuka", "Another claim is open for this person"),
    "CHIP_AUTH_FAIL": ("Keaslian chip tidak terbukti", "Chip authenticity not proven"),
    "BANK_NAME_DIFFERS": ("Nama rekening berbeda", "Account name differs"),
    "SITE_DIFFERS": ("Tempat berbeda dari pendaftaran perangkat", "Place differs from the device's enrolment"),
    "PHOTO_NOT_SAME": ("Foto chip tidak pasti sama dengan orangnya", "Chip photo not surely the person"),
    "PENDING_SUPERVISOR": ("Penyelia belum mengesahkan", "Supervisor has not countersigned"),
    "INCOMPLETE": ("Dokumen wajib belum lengkap", "Mandatory documents missing"),
    "DRILL": ("LATIHAN: tidak untuk dibayar", "DRILL: never to be paid"),
    "sign_in": ("Masuk diperlukan.", "Sign-in required."),
    "locked": ("Terlalu banyak percobaan; coba lagi sebentar lagi.", "Too many attempts; try again shortly."),
}


def words(language: str) -> dict[str, str]:
    """All texts in one language; any other name means Indonesian."""
    column = 1 if language == "en" else 0
    return {key: pair[column] for key, pair in TEXTS.items()}
