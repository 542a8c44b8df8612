"""``mpos-agent stick``: claims out on a stick, receipts back in, for places without a network.

The files are written and read here, by the user who holds the stick; what goes into them and what a receipt changes
is the daemon's business.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mpos_agent.api.client import AgentClient, RemoteError
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption
from sync.errors import StickError, StickFileError, StickReadOnlyError
from sync.stick import FileName, Kind
from sync.stick_folder import StickFolder

app = typer.Typer(help="Claims out and receipts in by USB stick.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder on the stick.")]

# As the codes of sync.errors; one such file is told and left out, the others go on.
_SPOILT = frozenset({"receipt", "stick_unknown_export"})


@app.command("export")
def export(
    folder: FolderArgument,
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Write everything that waits for head office onto a stick; the queue keeps it until a receipt comes."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    files = packets = 0
    with shell.client() as client:
        stick = StickFolder(folder)
        stick.sweep()
        after = ""
        try:
            while (made := client.next_stick_file(after)) is not None:
                name = FileName.parse(made.name)
                assert name is not None, "the agent names its files"
                stick.write(name, made.body)
                files, packets, after = files + 1, packets + made.packets, made.after
        except StickError:
            _partly(shell, files, packets)
            raise
    shell.give({"files": files, "packets": packets})
    if files == 0:
        shell.say("Tidak ada yang menunggu dikirim.", "Nothing waits to be sent.")
        return
    shell.say(
        f"{packets} paket dalam {files} berkas ada di stik, sudah dibaca ulang. Keluarkan stik dengan benar, lalu bawa "
        "ke kantor pusat. Paket tetap di antrean sampai tanda terimanya kembali.",
        f"{packets} packets in {files} files are on the stick and were read back. Eject it, then take it to head "
        "office. The packets stay in the queue until their receipt is back.",
    )


def _partly(shell: Shell, files: int, packets: int) -> None:
    if files:
        shell.say(
            f"Sebelum gangguan, {packets} paket dalam {files} berkas sudah utuh di stik; sisanya tetap di antrean.",
            f"Before the trouble {packets} packets in {files} files were whole on the stick; the rest is in the queue.",
            style="yellow",
        )


@dataclass
class _Told:
    """What an import came to."""

    receipts: int = 0
    known: int = 0
    others: int = 0
    accepted: int = 0
    held: int = 0
    refused: int = 0
    left: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    foreign: int = 0
    unfinished: int = 0
    done: list[str] = field(default_factory=list)
    """Spellings of files that have done their work."""

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "done"}


@app.command("import")
def import_(
    folder: FolderArgument,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave files that have done their work on the stick.")] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Take over the receipts on a stick that are for this device."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    stick = StickFolder(folder)
    told = _Told()
    with shell.client() as client:
        listing = stick.look()
        told.foreign, told.unfinished = listing.foreign, listing.unfinished
        batches = dict(listing.of(Kind.BATCH))
        for name, spelling in listing.of(Kind.RECEIPT):
            if _bring(client, stick, spelling, told):
                told.done.append(spelling)
                batch = FileName(name.device_id, name.number, name.nonce, Kind.BATCH)
                told.done += filter(None, [batches.get(batch)])
    writable = True
    if told.done and not keep:
        try:
            stick.remove(told.done)
        except StickReadOnlyError:
            writable = False
    shell.give(told.as_json())
    _say(shell, told, more=listing.more, writable=writable)


def _bring(client: AgentClient, stick: StickFolder, spelling: str, told: _Told) -> bool:
    """Take one receipt; whether it was ours and is now taken over."""
    try:
        body = stick.read(spelling, Kind.RECEIPT)
    except StickFileError as error:
        told.skipped.append({"file": spelling, "because": error.refusal.value})
        return False
    except StickError:
        stick.look()  # raises when the stick is gone; otherwise only this file cannot be read
        told.skipped.append({"file": spelling, "because": "unreadable"})
        return False
    try:
        reply = client.bring_receipt(body)
    except RemoteError as error:
        if error.body.get("code") not in _SPOILT:
            raise
        told.skipped.append({"file": spelling, "because": str(error.body["code"])})
        return False
    if reply["brought"] == "other_device":
        told.others += 1
        return False
    told.receipts += 1
    told.known += reply["brought"] == "known"
    for number in ("accepted", "held", "refused", "left"):
        setattr(told, number, getattr(told, number) + reply[number])
    return True


def _say(shell: Shell, told: _Told, *, more: bool, writable: bool) -> None:
    shell.say(
        f"{told.receipts} tanda terima untuk mesin ini: {told.accepted} paket diterima, {told.held} ditahan, "
        f"{told.refused} ditolak, {told.left} perlu dikirim lagi.",
        f"{told.receipts} receipts for this device: {told.accepted} packets accepted, {told.held} held, "
        f"{told.refused} refused, {told.left} to be sent again.",
        style="" if told.receipts else "yellow",
    )
    if told.known:
        shell.say(
            f"{told.known} tanda terima sudah pernah diambil; tidak ada yang berubah.",
            f"{told.known} receipts had been taken over before; they changed nothing.",
        )
    if told.others:
        shell.say(
            f"{told.others} tanda terima untuk mesin lain dibiarkan di stik.",
            f"{told.others} receipts for other devices are left on the stick.",
        )
    for one in told.skipped:
        shell.say(
            f"Dilewati: {escape(one['file'])} ({one['because']}). Minta kantor pusat menulisnya lagi.",
            f"Left out: {escape(one['file'])} ({one['because']}). Ask head office to write it again.",
            style="yellow",
        )
    if told.foreign or told.unfinished:
        shell.say(
            f"{told.foreign} berkas lain dan {told.unfinished} berkas yang belum selesai diabaikan.",
            f"{told.foreign} other files and {told.unfinished} unfinished ones are ignored.",
        )
    if more:
        shell.say(
            "Masih ada berkas lagi: jalankan perintah ini sekali lagi.",
            "There are more files: run this command once more.",
            style="yellow",
        )
    if not writable:
        shell.say(
            "Stik hanya bisa dibaca: berkas yang sudah selesai dibiarkan.",
            "The stick is read-only: files that have done their work are left on it.",
        )
