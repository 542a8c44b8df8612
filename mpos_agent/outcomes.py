"""One table: what went wrong → exit code, API status, and the sentence an operator reads, with its cure.

Rows are keyed by the stable ``code`` of an error class, or by the value of a reason for which a claim is
blocked. Indonesian stands first, because that is what is read at the counter. A test walks every error class
of the program and asks that it has a row here.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Exit(enum.IntEnum):
    """Exit codes of the commands; ``docs/technician.md`` lists them."""

    DONE = 0
    BUG = 1
    USAGE = 2
    SETTINGS = 3
    NO_DAEMON = 4
    NOT_ALLOWED = 5
    DEVICE = 6
    CLAIM = 7
    BUSY = 8
    HEAD_OFFICE = 9
    MATCHER = 10
    STORAGE = 11
    NOT_ENROLLED = 12
    NOT_QUEUED = 13
    """The claim ended without being queued: withdrawn, or left open to be resumed."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of trouble is told."""

    exit_code: Exit
    status: int
    cause_id: str
    cure_id: str
    cause_en: str
    cure_en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One trouble, ready to be shown: what programs read (code, retryable) and what people read."""

    code: str
    exit_code: Exit
    status: int
    cause: str
    cure: str
    text_id: str
    text_en: str
    retryable: bool
    detail: str

    def as_json(self) -> dict[str, str | bool]:
        """The body of every error reply of the local API and of ``--json``."""
        return {
            "code": self.code,
            "cause": self.cause,
            "cure": self.cure,
            "text_id": self.text_id,
            "text_en": self.text_en,
            "retryable": self.retryable,
            "detail": self.detail,
        }


_DEVICE: Mapping[str, Row] = {
    "device": Row(
        Exit.DEVICE,
        503,
        "Alat tidak dapat melakukan yang diminta",
        "cabut dan pasang kembali, lalu coba lagi; bila tetap, panggil teknisi",
        "A device could not do what was asked of it",
        "unplug it, plug it in and try again; call the technician if it stays so",
    ),
    "device_not_found": Row(
        Exit.DEVICE,
        503,
        "Alat tidak ditemukan",
        "pasang alatnya dan periksa kabel serta lampunya, lalu coba lagi",
        "The device was not found",
        "plug it in, check its cable and light, then try again",
    ),
    "device_busy": Row(
        Exit.DEVICE,
        409,
        "Alat sedang dipakai program lain",
        "tutup program lain yang memakainya, lalu coba lagi",
        "Another program is using the device",
        "close that program, then try again",
    ),
    "device_permission": Row(
        Exit.DEVICE,
        503,
        "Sistem tidak mengizinkan agen membuka alat",
        "panggil teknisi: aturan udev dan grup mpos-agent perlu diperiksa",
        "The system does not let the agent open the device",
        "call the technician: check the udev rule and the group mpos-agent",
    ),
    "device_removed": Row(
        Exit.DEVICE,
        503,
        "Alat terlepas saat dipakai",
        "pasang kembali alatnya, lalu ulangi langkah ini; klaim tidak hilang",
        "The device was unplugged while in use",
        "plug it in again and repeat this step; the claim is kept",
    ),
    "device_timeout": Row(
        Exit.DEVICE,
        504,
        "Alat tidak menjawab pada waktunya",
        "coba lagi; bila tetap, cabut dan pasang kembali alatnya",
        "The device did not answer in time",
        "try again; if it stays so, unplug it and plug it in",
    ),
    "device_protocol": Row(
        Exit.DEVICE,
        502,
        "Alat menjawab dengan cara yang tidak dikenal",
        "cabut dan pasang kembali; bila tetap, panggil teknisi dengan isi log",
        "The device gave an answer its protocol does not allow",
        "unplug it and plug it in; if it stays so, call the technician with the log",
    ),
    "service_down": Row(
        Exit.DEVICE,
        503,
        "Layanan kartu (pcscd) tidak berjalan",
        "tunggu sebentar lalu coba lagi; teknisi: systemctl start pcscd.socket",
        "The card service (pcscd) is not running",
        "wait a moment and try again; technician: systemctl start pcscd.socket",
    ),
    "no_card": Row(
        Exit.DEVICE,
        409,
        "Tidak ada kartu pada pembaca",
        "letakkan e-KTP di atas pembaca, lalu coba lagi",
        "No card lies on the reader",
        "lay the e-KTP on the reader and try again",
    ),
    "card_removed": Row(
        Exit.DEVICE,
        409,
        "Kartu terangkat sebelum selesai dibaca",
        "letakkan kembali e-KTP dan jangan digerakkan sampai selesai",
        "The card was lifted before it was read completely",
        "lay the e-KTP down again and do not move it until it is done",
    ),
    "sam_missing": Row(
        Exit.DEVICE,
        503,
        "Modul SAM tidak ditemukan",
        "panggil teknisi: periksa SAM di slotnya dan card.sam_reader dalam pengaturan",
        "The SAM was not found",
        "call the technician: check the SAM in its slot and card.sam_reader in the settings",
    ),
    "sam_locked": Row(
        Exit.DEVICE,
        503,
        "Modul SAM menolak dibuka",
        "jangan dicoba lagi; panggil teknisi: berkas rahasia tidak cocok dengan SAM ini",
        "The SAM refused to open",
        "do not try again; call the technician: the secrets file does not belong to this SAM",
    ),
    "unknown_chip": Row(
        Exit.DEVICE,
        422,
        "Kartu ini bukan e-KTP, atau jenis yang belum dikenal",
        "pastikan e-KTP yang diletakkan; bila benar, lanjutkan dengan jalur manual",
        "This card is not an e-KTP, or of a kind not known yet",
        "make sure it is the e-KTP; if it is, go on with the manual path",
    ),
    "status_word": Row(
        Exit.DEVICE,
        502,
        "Kartu atau SAM memberi jawaban yang tidak diharapkan",
        "angkat kartu, letakkan kembali, lalu coba lagi",
        "The card or the SAM gave an answer that was not expected",
        "lift the card, lay it down again and try again",
    ),
    "chip_authentication": Row(
        Exit.DEVICE,
        502,
        "Keaslian chip tidak dapat dipastikan",
        "coba sekali lagi; bila tetap, panggil penyelia dan lanjutkan dengan jalur manual",
        "The chip could not be authenticated",
        "try once more; if it stays so, call the supervisor and go on with the manual path",
    ),
    "chip_data": Row(
        Exit.DEVICE,
        502,
        "Isi chip tidak terbaca dengan utuh",
        "bersihkan kartu dan coba lagi; setelah tiga kali, lanjutkan dengan jalur manual",
        "The chip's content could not be read completely",
        "clean the card and try again; after three times go on with the manual path",
    ),
}

_AGENT: Mapping[str, Row] = {
    "config": Row(
        Exit.SETTINGS,
        500,
        "Berkas pengaturan tidak dapat dipakai",
        "perbaiki kunci yang disebut, lalu jalankan ulang",
        "The settings file cannot be used",
        "correct the key that is named, then start again",
    ),
    "agent": Row(
        Exit.BUG,
        500,
        "Agen tidak dapat melakukan yang diminta",
        "coba lagi; bila tetap, panggil teknisi",
        "The agent could not do what was asked",
        "try again; call the technician if it stays so",
    ),
    "no_daemon": Row(
        Exit.NO_DAEMON,
        503,
        "Agen tidak berjalan",
        "jalankan agennya (systemctl start mpos-agent), lalu coba lagi",
        "The agent is not running",
        "start it (systemctl start mpos-agent), then try again",
    ),
    "caller_unknown": Row(
        Exit.NOT_ALLOWED,
        401,
        "Program ini tidak punya izin memakai agen",
        "buat izin di mesin ini: mpos-agent caller add NAMA, lalu pakai kunci yang ditampilkan",
        "This program has no credential for the agent",
        "make one on this machine: mpos-agent caller add NAME, then use the token it shows",
    ),
    "caller_forbidden": Row(
        Exit.NOT_ALLOWED,
        403,
        "Izin program ini tidak mencakup permintaan ini",
        "pakai izin lain; teknisi tidak dapat membuka atau membuat klaim",
        "This credential does not cover the request",
        "use another one; a technician can neither see nor make claims",
    ),
    "foreign_page": Row(
        Exit.NOT_ALLOWED,
        403,
        "Permintaan datang dari halaman lain, bukan dari mesin ini",
        "buka http://127.0.0.1 langsung, bukan lewat nama atau halaman lain",
        "The request came from a foreign page, not from this machine",
        "open http://127.0.0.1 directly, not through another name or page",
    ),
    "request_too_large": Row(
        Exit.NOT_ALLOWED,
        413,
        "Permintaan terlalu besar",
        "perkecil berkas yang dilampirkan",
        "The request is too large",
        "make the attached file smaller",
    ),
    "bad_request": Row(
        Exit.USAGE,
        422,
        "Permintaan tidak lengkap atau tidak sesuai bentuknya",
        "perbaiki kolom yang disebut dalam rincian",
        "The request is incomplete or does not have the described shape",
        "correct the field named in the detail",
    ),
    "not_found": Row(
        Exit.USAGE,
        404,
        "Yang diminta tidak ada",
        "periksa nomor atau alamatnya",
        "There is no such thing",
        "check the number or the address",
    ),
    "not_signed_in": Row(
        Exit.NOT_ALLOWED,
        401,
        "Belum ada petugas yang masuk, atau sudah terlalu lama diam",
        "masuk kembali dengan nomor petugas dan PIN",
        "No operator has signed in, or was idle too long",
        "sign in again with staff number and PIN",
    ),
    "wrong_pin": Row(
        Exit.NOT_ALLOWED,
        401,
        "Nomor petugas atau PIN salah",
        "periksa keduanya dan coba lagi; lupa PIN: mpos-agent people add",
        "Staff number or PIN is wrong",
        "check both and try again; forgotten PIN: mpos-agent people add",
    ),
    "claim_busy": Row(
        Exit.BUSY,
        409,
        "Klaim atau alat ini sedang dikerjakan",
        "tunggu langkah itu selesai, lalu coba lagi",
        "This claim or device is being worked on",
        "wait until that step is done, then try again",
    ),
    "not_enrolled": Row(
        Exit.NOT_ENROLLED,
        409,
        "Mesin ini belum didaftarkan di kantor pusat",
        "minta token ke kantor pusat, lalu jalankan mpos-agent enrol",
        "This machine is not enrolled at head office yet",
        "ask head office for a token, then run mpos-agent enrol",
    ),
    "already_enrolled": Row(
        Exit.USAGE,
        409,
        "Mesin ini sudah terdaftar",
        "tidak perlu apa-apa; pendaftaran baru hanya setelah antrean kosong dan mesin dihapus amannya",
        "This machine is enrolled already",
        "nothing to do; a new enrolment only after the queue is empty and the machine was wiped",
    ),
    "stopping": Row(
        Exit.BUSY,
        503,
        "Agen sedang berhenti",
        "tunggu sampai berjalan lagi; klaim yang terbuka dapat dilanjutkan",
        "The agent is stopping",
        "wait until it runs again; open claims can be resumed",
    ),
    "not_set_up": Row(
        Exit.SETTINGS,
        503,
        "Pengaturan yang diperlukan belum diisi",
        "teknisi: isi kunci yang disebut dalam rincian",
        "A setting that this needs is not set",
        "technician: set the key named in the detail",
    ),
    "callers_file": Row(
        Exit.SETTINGS,
        500,
        "Daftar program pemanggil tidak dapat dipercaya",
        "teknisi: perbaiki izin berkas callers.json (chmod 600) atau buat ulang",
        "The list of callers cannot be trusted",
        "technician: correct the mode of callers.json (chmod 600) or make it anew",
    ),
    "caller_name": Row(
        Exit.USAGE,
        422,
        "Nama pemanggil tidak dapat dipakai",
        "pilih nama lain dari huruf kecil, angka dan tanda hubung",
        "This caller name cannot be used",
        "choose another one of small letters, digits and hyphens",
    ),
    "port_taken": Row(
        Exit.SETTINGS,
        503,
        "Port API sudah dipakai program lain",
        "tutup program itu atau ganti api.port dalam pengaturan",
        "Another program listens on the port of the local API",
        "stop it, or change api.port in the settings",
    ),
    "pin_locked": Row(
        Exit.NOT_ALLOWED,
        429,
        "PIN salah terlalu sering",
        "tunggu selama yang disebut, lalu coba lagi",
        "The PIN was wrong too often",
        "wait as long as the detail says, then try again",
    ),
    "internal": Row(
        Exit.BUG,
        500,
        "Terjadi kesalahan di dalam agen",
        "coba lagi; bila tetap, kirim isi log ke teknisi",
        "Something went wrong inside the agent",
        "try again; if it stays so, send the log to the technician",
    ),
}

TABLE: Mapping[str, Row] = {**_DEVICE, **_AGENT}


def outcome_of(error: BaseException) -> Outcome:
    """How to tell this error. What has no code of its own is our bug: ``internal``, with no detail shown."""
    code = getattr(type(error), "code", None)
    if not isinstance(code, str) or code not in TABLE:
        return told("internal")
    return told(code, retryable=bool(getattr(type(error), "retryable", False)), detail=str(error))


def told(code: str, *, retryable: bool = False, detail: str = "") -> Outcome:
    """The row of ``code`` as an outcome."""
    row = TABLE[code]
    return Outcome(
        code=code,
        exit_code=row.exit_code,
        status=row.status,
        cause=row.cause_en,
        cure=row.cure_en,
        text_id=f"{row.cause_id}; {row.cure_id}.",
        text_en=f"{row.cause_en}; {row.cure_en}.",
        retryable=retryable,
        detail=detail,
    )
