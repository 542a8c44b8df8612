"""One table: what went wrong → exit code, API status, and the sentence an operator reads, with its cure.

Rows are keyed by the stable ``code`` of an error class, or by the value of a reason for which a claim is
blocked. Indonesian stands first, because that is what is read at the counter. A test walks every error class
of the program and asks that it has a row here.
"""

import enum
import errno
from collections.abc import Mapping
from dataclasses import dataclass

from sync.errors import Cause, HeadOfficeError


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
    "not_a_passport": Row(
        Exit.DEVICE,
        422,
        "Kartu ini bukan paspor berchip, atau chipnya tidak terbaca",
        "letakkan halaman data paspor di atas pembaca; bila tetap, ketik identitas dari paspor",
        "This is no passport with a chip, or its chip is not reached",
        "lay the passport's data page on the reader; if it stays so, type the identity from the passport",
    ),
    "mrz_mismatch": Row(
        Exit.DEVICE,
        422,
        "Chip paspor tidak terbuka dengan data yang diketik",
        "periksa nomor, tanggal lahir, dan tanggal habis berlaku pada paspor yang ada di pembaca, lalu coba lagi",
        "The passport's chip does not open with what was typed",
        "check number, date of birth and date of expiry of the passport on the reader, then try again",
    ),
    "passport_access": Row(
        Exit.DEVICE,
        422,
        "Chip paspor ini meminta cara buka yang belum didukung (PACE)",
        "ketik identitas dari paspor; petugas kedua memeriksanya",
        "This passport's chip asks for a way of opening that is not supported (PACE)",
        "type the identity from the passport; a second person checks it",
    ),
    "several_cards": Row(
        Exit.DEVICE,
        409,
        "Ada kartu di lebih dari satu pembaca",
        "sisakan satu kartu saja, kartu peserta di loket ini, lalu coba lagi",
        "Cards lie on more than one reader",
        "leave one card only, the member's at this counter, then try again",
    ),
    "scanner_not_calibrated": Row(
        Exit.DEVICE,
        503,
        "Resolusi pemindai ini belum diukur",
        "pakai pemindai lain; teknisi: mpos-agent devices calibrate",
        "The resolution of this scanner was not measured yet",
        "use another scanner; technician: mpos-agent devices calibrate",
    ),
    "calibration_file": Row(
        Exit.DEVICE,
        503,
        "Berkas kalibrasi pemindai tidak dapat dipakai",
        "pakai pemindai lain; teknisi: ukur lagi dengan mpos-agent devices calibrate",
        "The scanner's calibration file cannot be used",
        "use another scanner; technician: measure again with mpos-agent devices calibrate",
    ),
    "scanner_scale_fixed": Row(
        Exit.DEVICE,
        409,
        "Pemindai ini menyebut skala setiap gambarnya sendiri; tidak ada yang perlu diukur",
        "langsung dipakai saja; bila skalanya keliru, pakai pemindai lain dan hubungi pembuatnya",
        "Each picture of this scanner says its own scale; there is nothing to measure",
        "use it as it is; if its scale is wrong, use another scanner and ask its maker",
    ),
    "scanner_secret_file": Row(
        Exit.DEVICE,
        503,
        "Berkas rahasia pemindai tidak dapat dipakai",
        "pakai pemindai lain; teknisi: periksa scanner.uru4000.response_key_file atau scanner.zfm.password_file",
        "The file with the scanner's secret cannot be used",
        "use another scanner; technician: check scanner.uru4000.response_key_file or scanner.zfm.password_file",
    ),
    "scanner_password": Row(
        Exit.DEVICE,
        503,
        "Pemindai menolak kata sandi dari pengaturan",
        "pakai pemindai lain; teknisi: isi scanner.zfm.password_file dengan kata sandi modul ini",
        "The scanner refused the password of the settings",
        "use another scanner; technician: put this module's password into the file scanner.zfm.password_file",
    ),
    "vendor_library": Row(
        Exit.DEVICE,
        503,
        "Pustaka pabrikan pemindai tidak dapat dipakai",
        "pakai pemindai lain; teknisi: periksa berkas scanner.vendor.library dan pasang ulang",
        "The library of the scanner's maker cannot be used",
        "use another scanner; technician: check the file of scanner.vendor.library and install it anew",
    ),
    "vendor_library_died": Row(
        Exit.DEVICE,
        503,
        "Pustaka pabrikan pemindai berhenti mendadak",
        "coba lagi; bila terulang, cabut dan pasang pemindai, lalu hubungi pabrikannya",
        "The library of the scanner's maker crashed",
        "try again; if it happens again, unplug and plug the scanner, then ask its maker",
    ),
    "target_unclear": Row(
        Exit.DEVICE,
        422,
        "Kisi ukur tidak terlihat jelas",
        "letakkan kertas rata dan lurus di atas kaca, tekan merata, lalu coba lagi",
        "The printed grid is not seen clearly",
        "lay the page flat and straight on the glass, press it evenly, then try again",
    ),
    "scanner_repeats": Row(
        Exit.DEVICE,
        503,
        "Pemindai memberikan gambar yang sama persis dengan gambar sebelumnya",
        "angkat jari dan coba lagi; bila terulang, panggil teknisi: pemindai macet atau diganti orang",
        "The scanner gives exactly a picture it gave before",
        "lift the finger and try again; if it happens again call the technician: the scanner is stuck or tampered with",
    ),
    "scanner_not_configured": Row(
        Exit.DEVICE,
        503,
        "Pengaturan pemindai ini belum lengkap",
        "pakai pemindai lain; teknisi: lengkapi bagian [scanner] dalam pengaturan",
        "The settings of this scanner are not complete",
        "use another scanner; technician: complete the section [scanner] of the settings",
    ),
    "sbi_answer_refused": Row(
        Exit.DEVICE,
        502,
        "Jawaban layanan pemindai tidak dapat dipercaya dan tidak dipakai",
        "coba sekali lagi; bila tetap, pakai pemindai lain; teknisi: sebabnya tercatat di log, lihat docs/sbi.md",
        "The scanner's service gave an answer that cannot be trusted; it was not used",
        "try once more; if it stays so, use another scanner; technician: the log names the cause, see docs/sbi.md",
    ),
    "sbi_device_says": Row(
        Exit.DEVICE,
        503,
        "Layanan pemindai melaporkan gangguan",
        "pakai pemindai lain; panggil teknisi: nomor gangguan dari pembuat alat tercatat di log",
        "The scanner's service reports a failure",
        "use another scanner; call the technician: the log has the maker's number of the failure",
    ),
    "sbi_roots": Row(
        Exit.DEVICE,
        503,
        "Sertifikat penjamin pemindai tidak dapat dibaca",
        "pakai pemindai lain; teknisi: periksa folder scanner.sbi.roots_dir",
        "The certificates that vouch for the scanner cannot be read",
        "use another scanner; technician: check the folder scanner.sbi.roots_dir",
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
    "sam_secrets": Row(
        Exit.DEVICE,
        503,
        "Berkas rahasia SAM tidak ada atau tidak aman",
        "teknisi: letakkan berkas 48 bita pada card.sam_secrets_file dengan izin 0600",
        "The SAM's secrets file is missing or open to others",
        "technician: put the file of 48 bytes at card.sam_secrets_file with mode 0600",
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
    "wrong_role": Row(
        Exit.NOT_ALLOWED,
        403,
        "Petugas ini tidak punya peran untuk itu",
        "masuk sebagai petugas yang berperan, atau minta teknisi menambah perannya",
        "This person does not have the role for it",
        "sign in as somebody who has, or ask the technician to add the role",
    ),
    "not_your_claim": Row(
        Exit.NOT_ALLOWED,
        403,
        "Klaim ini dibuka oleh petugas lain",
        "minta petugas itu melanjutkan; penyelia dapat membatalkannya",
        "This claim was opened by another operator",
        "ask that operator to go on; a supervisor may withdraw it",
    ),
    "document_refused": Row(
        Exit.CLAIM,
        422,
        "Berkas pindaian tidak dapat diterima; sebabnya tertulis di atas",
        "perbaiki berkasnya atau isi berkas lain, lalu lanjutkan klaim dengan --resume",
        "A scanned file cannot be taken; the cause stands above",
        "put the file right or name another one, then go on with --resume",
    ),
    "no_answer": Row(
        Exit.CLAIM,
        422,
        "Berkas jawaban tidak memuat langkah berikutnya",
        "tambahkan bagian yang disebut, lalu lanjutkan klaim dengan --resume",
        "The answers file has nothing for the next step",
        "add the section that is named, then go on with --resume",
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
        "tidak perlu apa-apa; kalau memang harus didaftarkan ulang: mpos-agent enrol --again",
        "This machine is enrolled already",
        "nothing to do; where it has to be enrolled anew: mpos-agent enrol --again",
    ),
    "packets_waiting": Row(
        Exit.USAGE,
        409,
        "Masih ada paket yang hanya dapat dikirim dengan pendaftaran yang lama",
        "kirim dulu: mpos-agent outbox --send, atau mpos-agent stick export lalu impor tanda terimanya; "
        "--leave-waiting membiarkannya di antrean, tidak terkirim",
        "Packets wait that only the enrolment before can deliver",
        "deliver them first: mpos-agent outbox --send, or mpos-agent stick export and import of its receipts; "
        "--leave-waiting leaves them in the queue, undelivered",
    ),
    "identity_changed": Row(
        Exit.BUSY,
        409,
        "Mesin ini baru saja didaftarkan ulang, saat klaim disegel",
        "konfirmasi sekali lagi; klaim ini utuh dan dikirim dengan pendaftaran yang baru",
        "This machine was enrolled anew just now, while the claim was being sealed",
        "confirm once more; the claim is whole and goes under the new enrolment",
    ),
    "former_enrolment": Row(
        Exit.CLAIM,
        409,
        "Klaim ini dibuat dengan pendaftaran mesin yang lama; dokumen susulannya tidak akan sampai ke klaim itu",
        "serahkan dokumennya ke kantor cabang, dengan nomor pada tanda terima",
        "This claim was made under an enrolment before; a document added now would never reach it",
        "hand the document in at the branch office, with the reference on the slip",
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
    "folder": Row(
        Exit.SETTINGS,
        500,
        "Folder yang diperlukan tidak dapat dibuat atau ditulisi",
        "teknisi: periksa pemilik dan izin folder yang disebut (agent.state_dir, agent.run_dir)",
        "A folder that is needed cannot be made or written",
        "technician: check owner and mode of the folder named (agent.state_dir, agent.run_dir)",
    ),
    "socket_path": Row(
        Exit.SETTINGS,
        500,
        "Soket API lokal tidak dapat dibuat di tempat itu",
        "teknisi: pilih folder yang ada dan jalur di bawah 108 bita dalam api.socket",
        "The socket of the local API cannot be made there",
        "technician: choose an existing folder and a path of under 108 bytes in api.socket",
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

_CLAIM: Mapping[str, Row] = {
    "not_now": Row(
        Exit.CLAIM,
        409,
        "Langkah ini belum atau tidak lagi mungkin",
        "ikuti langkah berikutnya yang ditampilkan untuk klaim ini",
        "This step is not possible at this point of the claim",
        "follow the next step that is shown for this claim",
    ),
    "draft_unreadable": Row(
        Exit.STORAGE,
        500,
        "Klaim yang tersimpan tidak dapat dibuka",
        "panggil teknisi; jangan hapus apa pun, mulai klaim baru untuk peserta ini",
        "The saved claim cannot be opened",
        "call the technician, delete nothing, start a new claim for this member",
    ),
    "draft_key": Row(
        Exit.STORAGE,
        500,
        "Kunci klaim terbuka tidak ada atau tidak aman",
        "teknisi: kembalikan berkas kunci dengan izin 0600; jangan membuat yang baru",
        "The key for open claims is missing or open to others",
        "technician: put the key file back with mode 0600, do not make a new one",
    ),
    "audit_broken": Row(
        Exit.STORAGE,
        500,
        "Catatan audit mesin ini telah diubah",
        "hentikan pemakaian mesin ini dan laporkan ke kantor pusat",
        "The audit record of this machine was changed",
        "stop using this machine and report it to head office",
    ),
    "person": Row(
        Exit.USAGE,
        422,
        "Petugas tidak dapat ditambahkan seperti ini",
        "perbaiki yang disebut dalam rincian",
        "This person cannot be added like this",
        "correct what the detail names",
    ),
}

_MATCHER: Mapping[str, Row] = {
    "matcher": Row(
        Exit.MATCHER,
        500,
        "Pencocok sidik jari tidak dapat bekerja",
        "coba lagi; bila tetap, panggil teknisi",
        "The fingerprint matcher could not work",
        "try again; call the technician if it stays so",
    ),
    "unusable_image": Row(
        Exit.MATCHER,
        422,
        "Gambar dari pemindai tidak dapat dipakai",
        "bersihkan kaca pemindai dan coba lagi; bila tetap, panggil teknisi",
        "The scanner's picture cannot be used",
        "clean the scanner's glass and try again; call the technician if it stays so",
    ),
    "invalid_template": Row(
        Exit.MATCHER,
        500,
        "Data sidik jari di memori tidak masuk akal",
        "ulangi pembacaan kartu dan sidik jari",
        "The fingerprint data in memory make no sense",
        "read the card and the finger again",
    ),
    "template_format": Row(
        Exit.MATCHER,
        422,
        "Sidik jari pada chip tidak dapat dibaca",
        "ulangi pembacaan kartu; bila tetap, lanjutkan dengan jalur manual",
        "The fingerprint on the chip cannot be read",
        "read the card again; if it stays so, go on with the manual path",
    ),
    "template_empty": Row(
        Exit.MATCHER,
        422,
        "Chip tidak menyimpan jari ini",
        "pakai jari yang lain, atau lanjutkan dengan jalur manual",
        "The chip holds no such finger",
        "use the other finger, or go on with the manual path",
    ),
    "template_card_format": Row(
        Exit.MATCHER,
        422,
        "Sidik jari pada chip disimpan dalam bentuk ringkas yang tidak dapat dipakai",
        "lanjutkan dengan jalur manual",
        "The fingerprint on the chip is in a compact form that cannot be used",
        "go on with the manual path",
    ),
    "network_missing": Row(
        Exit.MATCHER,
        500,
        "Berkas pencocok belum terpasang",
        "teknisi: jalankan make venv, lalu jalankan ulang agen",
        "The matcher's network file is not installed",
        "technician: run make venv, then restart the agent",
    ),
    "network_invalid": Row(
        Exit.MATCHER,
        500,
        "Berkas pencocok bukan milik versi ini",
        "teknisi: jalankan make venv, lalu jalankan ulang agen",
        "The matcher's network file is not of this version",
        "technician: run make venv, then restart the agent",
    ),
}

_SYNC: Mapping[str, Row] = {
    "sync": Row(
        Exit.HEAD_OFFICE,
        500,
        "Antrean ke kantor pusat tidak dapat bekerja",
        "coba lagi; bila tetap, panggil teknisi",
        "The queue to head office could not work",
        "try again; call the technician if it stays so",
    ),
    "storage": Row(
        Exit.STORAGE,
        500,
        "Penyimpanan agen tidak dapat dipakai",
        "panggil teknisi; klaim yang sudah disimpan tetap ada di disk",
        "The agent's storage cannot be used",
        "call the technician; stored claims are still on the disk",
    ),
    "storage_in_use": Row(
        Exit.BUSY,
        409,
        "Agen lain sudah memakai penyimpanan ini",
        "hentikan agen yang satu lagi; satu mesin satu agen",
        "Another agent already uses this storage",
        "stop the other one; one machine runs one agent",
    ),
    "storage_full": Row(
        Exit.STORAGE,
        507,
        "Disk penuh",
        "kosongkan disk, lalu ulangi; tidak ada yang hilang dan yang belum disimpan tidak dianggap tersimpan",
        "The disk is full",
        "free some space and repeat; nothing is lost, and nothing unsaved is shown as saved",
    ),
    "storage_low": Row(
        Exit.STORAGE,
        503,
        "Ruang disk hampir habis, sehingga klaim baru tidak dapat dimulai; klaim yang sedang berjalan tetap dapat "
        "diselesaikan dan antrean tetap dikirim",
        "sambungkan ke kantor pusat agar antrean terkirim, atau minta teknisi mengosongkan disk; sesudah itu klaim "
        "baru dapat dimulai lagi dengan sendirinya",
        "Too little room is left on the disk to begin a new claim; open claims can be finished and the queue is still "
        "sent",
        "connect to head office so that the queue can leave, or have the technician free space; new claims begin again "
        "by themselves",
    ),
    "storage_read_only": Row(
        Exit.STORAGE,
        500,
        "Penyimpanan tidak dapat ditulisi",
        "teknisi: periksa pemilik dan izin foldernya; bila disk dipasang hanya-baca, periksa disknya (dmesg)",
        "The storage cannot be written",
        "technician: check owner and mode of its folder; if the disk was made read-only, check the disk (dmesg)",
    ),
    "storage_broken": Row(
        Exit.STORAGE,
        500,
        "Disk gagal membaca atau menulis",
        "hentikan pemakaian, panggil teknisi untuk memeriksa disk",
        "The disk failed to read or write",
        "stop using it and call the technician to check the disk",
    ),
    "storage_corrupt": Row(
        Exit.STORAGE,
        500,
        "Berkas antrean rusak dan disisihkan",
        "panggil teknisi; simpan berkas .corrupt, jangan dihapus",
        "The queue's file is damaged and was set aside",
        "call the technician; keep the .corrupt file, do not delete it",
    ),
    "storage_set_aside": Row(
        Exit.STORAGE,
        500,
        "Di samping antrean ada berkas antrean lama yang rusak dan disisihkan; paket yang belum terkirim masih "
        "tersegel di dalamnya",
        "jangan dihapus, panggil teknisi; klaim baru aman dan dikirim seperti biasa",
        "Beside the queue lies an older one that was damaged and set aside; packets that were not delivered are sealed "
        "in that file",
        "keep it and call the technician; new claims are safe and go as usual",
    ),
    "chain_damaged": Row(
        Exit.STORAGE,
        500,
        "Urutan paket di antrean tidak utuh lagi",
        "hentikan pemakaian dan panggil teknisi; jangan hapus apa pun, simpan salinan agent.db",
        "The chain of packets in the queue is no longer whole",
        "stop using it and call the technician; delete nothing, keep a copy of agent.db",
    ),
    "storage_setting": Row(
        Exit.STORAGE,
        500,
        "Penyimpanan tidak menjamin data tertulis ke disk",
        "teknisi: pakai disk lokal dan SQLite 3.37 atau lebih baru",
        "The storage does not promise that data reach the disk",
        "technician: use a local disk and SQLite 3.37 or newer",
    ),
    "chain": Row(
        Exit.STORAGE,
        500,
        "Paket tidak cocok dengan urutannya",
        "panggil teknisi; klaim tetap terbuka",
        "A packet does not fit its place in the queue",
        "call the technician; the claim stays open",
    ),
    "device_key": Row(
        Exit.STORAGE,
        500,
        "Kunci mesin tidak ada atau tidak aman",
        "teknisi: kembalikan berkas kunci dengan izin 0600, atau daftarkan ulang mesin",
        "The device's key is missing or open to others",
        "technician: put the key file back with mode 0600, or enrol the device again",
    ),
    "key_store": Row(
        Exit.STORAGE,
        503,
        "Tempat penyimpanan kunci mesin tidak dapat dijangkau",
        "pasang kembali token, atau ikuti rincian; klaim aman di antrean, dan tidak ada kunci lain dibuat",
        "The store of this device's key cannot be reached",
        "plug the token in again, or do what the detail says; claims are safe in the queue and no other key is made",
    ),
    "token_pin": Row(
        Exit.STORAGE,
        503,
        "Token menolak PIN-nya",
        "teknisi: perbaiki berkas PIN sebelum mencoba lagi; token terkunci setelah beberapa kali salah",
        "The token refused its PIN",
        "technician: correct the PIN file before another try; a token locks after a few wrong ones",
    ),
    "device_denied": Row(
        Exit.NOT_ALLOWED,
        403,
        "Kantor pusat menghentikan klaim baru di mesin ini",
        "hubungi kantor pusat dengan alasan dalam rincian; klaim yang sudah antre tetap dikirim",
        "Head office has stopped new claims on this machine",
        "call head office with the reason in the detail; claims already queued are still sent",
    ),
    "renewal_message": Row(
        Exit.HEAD_OFFICE,
        502,
        "Jawaban perpanjangan sertifikat dari kantor pusat tidak dapat dibaca",
        "tunggu; dicoba lagi dengan sendirinya, identitas lama tetap berlaku",
        "Head office's reply about the certificate cannot be read",
        "wait; it is tried again by itself, and the old identity goes on",
    ),
    "trust": Row(
        Exit.HEAD_OFFICE,
        502,
        "Daftar kunci kantor pusat tidak dapat dibaca",
        "laporkan ke pengelola; kunci yang lama tetap dipakai",
        "Head office's list of keys cannot be read",
        "report it to the maintainers; the keys known so far go on",
    ),
    "identity": Row(
        Exit.STORAGE,
        500,
        "Identitas mesin tidak lengkap",
        "teknisi: daftarkan ulang mesin dengan mpos-agent enrol",
        "The device's identity is incomplete",
        "technician: enrol the device again with mpos-agent enrol",
    ),
    "wire": Row(
        Exit.HEAD_OFFICE,
        502,
        "Data tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "Data does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "cbor": Row(
        Exit.HEAD_OFFICE,
        502,
        "Data tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "Data does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "key_format": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kunci tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A key does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "document_part": Row(
        Exit.HEAD_OFFICE,
        502,
        "Bagian dokumen tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A document part does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "cose": Row(
        Exit.HEAD_OFFICE,
        502,
        "Pesan bertanda tangan tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A signed message does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "packet": Row(
        Exit.HEAD_OFFICE,
        502,
        "Paket klaim tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A claim packet does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "envelope": Row(
        Exit.HEAD_OFFICE,
        502,
        "Amplop klaim tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A claim envelope does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "checkpoint": Row(
        Exit.HEAD_OFFICE,
        502,
        "Laporan keadaan mesin tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A state report does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "receipt": Row(
        Exit.HEAD_OFFICE,
        502,
        "Tanda terima tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "A receipt does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
    "command": Row(
        Exit.HEAD_OFFICE,
        502,
        "Perintah dari kantor pusat tidak sesuai bentuk yang ditetapkan",
        "tidak perlu apa-apa; kantor pusat diberi tahu alasannya",
        "A command of head office does not have the agreed form",
        "nothing to do; head office is told why",
    ),
    "command_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Mesin ini tidak menjalankan satu perintah kantor pusat",
        "tidak perlu apa-apa; kantor pusat diberi tahu alasannya",
        "This machine did not carry out a command of head office",
        "nothing to do; head office is told why",
    ),
    "enrolment_message": Row(
        Exit.HEAD_OFFICE,
        502,
        "Jawaban pendaftaran tidak sesuai bentuk yang ditetapkan",
        "coba lagi; bila tetap, panggil teknisi dan samakan versi agen dengan kantor pusat",
        "An enrolment reply does not have the agreed form",
        "try again; if it stays so, call the technician and bring agent and head office to one version",
    ),
}

_HEAD_OFFICE: Mapping[str, Row] = {
    "head_office_address": Row(
        Exit.USAGE,
        422,
        "Alamat kantor pusat tidak dapat dipakai",
        "tulis https:// dengan nama dan bila perlu port, tanpa yang lain (contoh https://pusat.example:8443); "
        "tidak ada yang dikirim",
        "This address of head office cannot be used",
        "write https:// with name and, if needed, port, and nothing else (https://head-office.example:8443); "
        "nothing was sent",
    ),
    "head_office": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat tidak dapat dihubungi",
        "klaim aman di antrean dan dikirim nanti; tidak perlu apa-apa",
        "Head office cannot be reached",
        "the claims are safe in the queue and go later; nothing to do",
    ),
    "head_office_token_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat menolak token pendaftaran ini: sudah dipakai, lewat 24 jam, salah ketik, atau untuk mesin lain",
        "minta token baru ke kantor pusat, lalu jalankan mpos-agent enrol lagi",
        "Head office refused this enrolment token: used, older than 24 hours, mistyped, or for another machine",
        "ask head office for a new one, then run mpos-agent enrol again",
    ),
    "enrolment_token": Row(
        Exit.USAGE,
        422,
        "Yang diberikan bukan token pendaftaran yang utuh",
        "salin seluruh token dari kantor pusat (huruf, angka, tanda hubung; minimal 16); tidak ada yang dikirim",
        "What was given is not a whole enrolment token",
        "copy all of the token head office gave (letters, digits, hyphens; at least 16); nothing was sent",
    ),
    "device_serial": Row(
        Exit.SETTINGS,
        422,
        "Nomor seri mesin tidak dapat dipakai",
        "teknisi: isi agent.device_serial dengan huruf, angka, spasi, titik, atau tanda hubung (maks. 64)",
        "The machine's serial number cannot be used",
        "technician: set agent.device_serial to letters, digits, spaces, dots or hyphens (64 at most)",
    ),
    "authority_file": Row(
        Exit.USAGE,
        422,
        "Berkas sertifikat kantor pusat (--ca-file) tidak dapat dipakai",
        "pakai ca.crt yang diserahkan bersama token (teks PEM); tidak ada yang dikirim",
        "The file with head office's certificate authority (--ca-file) cannot be used",
        "take the ca.crt that was handed over with the token (PEM text); nothing was sent",
    ),
    "head_office_device_blocked": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat memblokir mesin ini",
        "hubungi kantor pusat; klaim tetap aman di antrean dan dikirim setelah blokir dibuka",
        "Head office has blocked this machine",
        "call head office; the claims stay safe in the queue and are sent once it is released",
    ),
    "head_office_keys_replaced": Row(
        Exit.HEAD_OFFICE,
        502,
        "Mesin ini memakai kunci lama: dipulihkan dari cadangan, atau tiruan",
        "jangan dipakai; laporkan ke kantor pusat, lalu daftarkan ulang mesin yang asli",
        "This machine uses keys that were replaced: it was restored from a backup, or is a copy",
        "stop using it; report it to head office, then enrol the real machine again",
    ),
    "head_office_client_certificate_expired": Row(
        Exit.HEAD_OFFICE,
        502,
        "Sertifikat mesin ini kedaluwarsa",
        "tunggu beberapa menit: diperpanjang dengan sendirinya; bila tetap, jalankan mpos-agent identity renew",
        "This machine's certificate has run out",
        "wait some minutes: it renews itself; if it stays so, run mpos-agent identity renew",
    ),
    "head_office_renewal_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat menolak perpanjangan sertifikat mesin ini",
        "hubungi kantor pusat; mungkin mesin perlu didaftarkan ulang",
        "Head office refused to renew this machine's certificates",
        "call head office; the machine may have to be enrolled again",
    ),
    "head_office_name_not_found": Row(
        Exit.HEAD_OFFICE,
        502,
        "Nama kantor pusat tidak ditemukan di jaringan",
        "periksa sambungan jaringan; klaim aman di antrean",
        "Head office's name was not found on the network",
        "check the network connection; the claims are safe in the queue",
    ),
    "head_office_connection_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Layanan kantor pusat sedang tidak berjalan",
        "tunggu; klaim aman di antrean dan dikirim sendiri",
        "Head office's service is not running",
        "wait; the claims are safe in the queue and go by themselves",
    ),
    "head_office_unreachable": Row(
        Exit.HEAD_OFFICE,
        502,
        "Tidak ada jalan ke kantor pusat",
        "periksa kabel atau sinyal; klaim aman di antrean",
        "There is no way to head office",
        "check cable or signal; the claims are safe in the queue",
    ),
    "head_office_timeout": Row(
        Exit.HEAD_OFFICE,
        504,
        "Kantor pusat tidak menjawab pada waktunya",
        "tunggu; klaim aman di antrean dan dicoba lagi",
        "Head office did not answer in time",
        "wait; the claims are safe in the queue and are tried again",
    ),
    "head_office_wrong_certificate": Row(
        Exit.HEAD_OFFICE,
        502,
        "Yang menjawab bukan kantor pusat",
        "jangan lanjutkan lewat jaringan ini; panggil teknisi",
        "Somebody else answers in head office's place",
        "do not use this network; call the technician",
    ),
    "head_office_clock_wrong": Row(
        Exit.HEAD_OFFICE,
        502,
        "Jam mesin ini salah, sehingga sertifikat tampak tidak berlaku",
        "betulkan tanggal dan jam, lalu coba lagi",
        "This machine's clock is wrong, so that the certificate looks invalid",
        "correct date and time, then try again",
    ),
    "head_office_our_certificate_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat tidak menerima sertifikat mesin ini",
        "panggil teknisi: sertifikat kedaluwarsa atau mesin diblokir",
        "Head office does not accept this machine's certificate",
        "call the technician: it has run out, or the machine is blocked",
    ),
    "head_office_captive_portal": Row(
        Exit.HEAD_OFFICE,
        502,
        "Jaringan meminta masuk lewat halamannya sendiri",
        "buka peramban dan masuk ke jaringan itu, atau pakai jaringan lain; klaim aman di antrean",
        "The network wants a sign-in on its own page",
        "sign in to it with a browser or use another network; the claims are safe in the queue",
    ),
    "head_office_busy": Row(
        Exit.HEAD_OFFICE,
        503,
        "Kantor pusat sedang sibuk",
        "tunggu; klaim aman di antrean dan dicoba lagi",
        "Head office is busy",
        "wait; the claims are safe in the queue and are tried again",
    ),
    "head_office_server_error": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat mengalami gangguan",
        "tunggu; klaim aman di antrean dan dicoba lagi",
        "Head office has a fault",
        "wait; the claims are safe in the queue and are tried again",
    ),
    "head_office_refused": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat menolak permintaan ini",
        "baca alasan dalam rincian dan hubungi kantor pusat",
        "Head office refused the request",
        "read the reason in the detail and call head office",
    ),
    "head_office_broken_reply": Row(
        Exit.HEAD_OFFICE,
        502,
        "Jawaban kantor pusat terputus",
        "tunggu; klaim aman di antrean dan dicoba lagi",
        "Head office's reply broke off",
        "wait; the claims are safe in the queue and are tried again",
    ),
    "head_office_bad_receipt": Row(
        Exit.HEAD_OFFICE,
        502,
        "Tanda terima tidak sah",
        "klaim tetap di antrean; bila berulang, panggil teknisi",
        "The receipt is not genuine",
        "the claims stay in the queue; call the technician if it happens again",
    ),
    "head_office_fork": Row(
        Exit.HEAD_OFFICE,
        502,
        "Antrean mesin ini tidak sama dengan catatan kantor pusat",
        "hentikan pemakaian dan panggil teknisi: mesin dipulihkan dari salinan atau digandakan",
        "This machine's queue differs from head office's record",
        "stop using it and call the technician: the machine was restored or cloned",
    ),
    "head_office_lane_frozen": Row(
        Exit.HEAD_OFFICE,
        502,
        "Kantor pusat membekukan antrean mesin ini: paket baru disimpan di sana, tetapi ditahan",
        "hubungi kantor pusat dan sebutkan nomor mesin; tidak ada klaim yang hilang",
        "Head office has frozen this machine's queue: new packets are stored there, but held",
        "call head office and name this device; no claim is lost",
    ),
}

_STICK: Mapping[str, Row] = {
    "stick": Row(
        Exit.STORAGE,
        500,
        "Stik tidak dapat dipakai",
        "coba stik lain; klaim aman di antrean",
        "The stick could not be used",
        "try another one; the claims are safe in the queue",
    ),
    "stick_missing": Row(
        Exit.STORAGE,
        404,
        "Folder stik tidak ditemukan",
        "pasang stiknya dan periksa nama foldernya",
        "The folder on the stick was not found",
        "plug the stick in and check the folder's name",
    ),
    "stick_full": Row(
        Exit.STORAGE,
        507,
        "Stik penuh",
        "kosongkan stik atau pakai stik lain, lalu ekspor lagi; yang sudah tertulis tetap utuh",
        "The stick is full",
        "make room or take another one, then export again; what was written is whole",
    ),
    "stick_read_only": Row(
        Exit.STORAGE,
        500,
        "Stik tidak dapat ditulisi",
        "geser kunci pada stik, atau pasang agar pengguna ini boleh menulis, lalu ulangi",
        "The stick takes no writing",
        "move its switch, or mount it so that this user may write, then repeat",
    ),
    "stick_gone": Row(
        Exit.STORAGE,
        503,
        "Stik terlepas atau rusak di tengah jalan",
        "pasang lagi dan ulangi; tidak ada yang hilang",
        "The stick went away or failed in the middle",
        "plug it in again and repeat; nothing is lost",
    ),
    "stick_faulty": Row(
        Exit.STORAGE,
        500,
        "Yang dibaca dari stik bukan yang ditulis",
        "jangan pakai stik ini; ulangi dengan stik lain",
        "What the stick gives back is not what was written",
        "do not use this stick; repeat with another one",
    ),
    "stick_file": Row(
        Exit.STORAGE,
        422,
        "Berkas di stik rusak atau terpotong",
        "minta berkas itu ditulis lagi",
        "A file on the stick is spoilt or cut off",
        "have that file written again",
    ),
    "stick_unknown_export": Row(
        Exit.HEAD_OFFICE,
        409,
        "Tanda terima ini untuk ekspor yang tidak diingat lagi oleh mesin ini",
        "ekspor lagi: kantor pusat akan menjawab bahwa paketnya sudah ada",
        "This receipt is for an export this machine no longer remembers",
        "export again: head office will answer that it has the packets",
    ),
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

TABLE: Mapping[str, Row] = {**_DEVICE, **_AGENT, **_CLAIM, **_MATCHER, **_SYNC, **_HEAD_OFFICE, **_STICK}


def outcome_of(error: BaseException) -> Outcome:
    """How to tell this error. What has no code of its own is our bug: ``internal``, with no detail shown."""
    code = getattr(type(error), "code", None)
    if isinstance(error, HeadOfficeError):
        # One class, because all of them mean "later"; the cures differ by cause.
        code = f"head_office_{error.cause}"
        if error.cause is Cause.REFUSED and f"head_office_{error.refused_as}" in TABLE:
            code = f"head_office_{error.refused_as}"
    if isinstance(error, OSError) and error.errno in _FULL:
        # Whatever was being written: no bug of ours, and the cure is the same. The name of the file is not repeated.
        return told("storage_full", retryable=True, detail=error.strerror or "")
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
