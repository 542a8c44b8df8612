"""``mpos-agent status``: daemon, devices, queue, last round with head office."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mpos_agent.cli.identity import until
from mpos_agent.cli.shell import (
    DEFAULT_SETTINGS,
    ConfigOption,
    JsonOption,
    LangOption,
    Shell,
    TokenOption,
    ago,
    error_text,
)
from mpos_agent.cli.verdict import not_all_taken
from sync.edge.uploader import RoundOutcome

_ROUNDS = {
    RoundOutcome.DELIVERED: ("berhasil", "delivered"),
    RoundOutcome.IDLE: ("tidak ada yang dikirim", "nothing to send"),
    RoundOutcome.WAITING: ("menunggu giliran berikutnya", "waits for its next turn"),
    RoundOutcome.FAILED: ("gagal", "failed"),
}


def status(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show the state of the agent: devices, queue, head office."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        reply = client.get("/v1/status")
    shell.give(reply)
    if not shell.as_json:
        shell.console.print(_table(shell, reply))


def _table(shell: Shell, reply: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    site, queue, last, devices = reply["site"], reply["queue"], reply["sync"], reply["devices"]

    def row(id_text: str, en_text: str, value: str) -> None:
        table.add_row(shell.both(id_text, en_text), value)

    for damage in reply["damage"]:
        row("RUSAK", "DAMAGE", f"{error_text(shell, damage)}\n[dim]{escape(damage['detail'])}[/dim]")
    row("Agen", "Agent", f"{reply['version']}")
    enrolled = f"{reply['device_id']} ({site['branch_code']}, {site['site_type']})" if site else ""
    row("Mesin", "Device", enrolled or shell.both("belum terdaftar: mpos-agent enrol", "not enrolled"))
    if reply["denied"]:
        stopped = shell.both("kantor pusat menghentikan klaim baru", "head office has stopped new claims")
        row("DIHENTIKAN", "STOPPED", f"[red]{stopped}[/red]\n{escape(reply['denied'])}")
    if reply["identity_problem"]:
        row("Identitas", "Identity", error_text(shell, reply["identity_problem"]))
    if reply["identity"]:
        held = reply["identity"]
        row("Sertifikat sampai", "Certificates until", f"{until(held)} ({escape(held['key_store'])})")
        if held["problem"]:
            row("Perpanjangan", "Renewal", error_text(shell, held["problem"]))
    for id_text, en_text, name, problem in (
        ("Pembaca kartu", "Card reader", devices["card_reader"], devices["card_problem"]),
        ("SAM", "SAM", devices["sam_reader"], devices["sam_problem"]),
    ):
        row(id_text, en_text, error_text(shell, problem) if problem else f"[green]{name}[/green]")
    scanners = ", ".join(f"[green]{one['name']}[/green]" for one in devices["scanners"])
    row("Pemindai sidik jari", "Fingerprint scanner", scanners or error_text(shell, devices["scanner_problem"]))
    row("Klaim terbuka", "Open claims", str(reply["open_claims"]))
    row("Menunggu dikirim", "Waiting", _waiting(shell, queue))
    row("Diterima pusat", "Accepted", str(queue["accepted"]))
    row("Ditahan pusat", "Held", f"[yellow]{queue['held']}[/yellow]" if queue["held"] else "0")
    row("Ditolak pusat", "Refused", f"[red]{queue['refused']}[/red]" if queue["refused"] else "0")
    for frozen in reply["frozen"]:
        row("DIBEKUKAN", "FROZEN", f"[red]{escape(_frozen(shell, frozen))}[/red]")
    if reply["asking"]:
        many = reply["asking"]
        told = shell.both(f"{many} klaim: mpos-agent outbox", f"{many} claims: mpos-agent outbox")
        row("Kelengkapan diminta", "Documents asked for", f"[yellow]{told}[/yellow]")
    row("Disk", "Disk", _disk(shell, reply["storage"]))
    row("Hubungan terakhir", "Last round", _round(shell, last))
    clock = shell.both("dipastikan pusat", "confirmed") if reply["clock_trusted"] else ""
    row("Jam", "Clock", clock or shell.both("belum dipastikan pusat", "not confirmed by head office yet"))
    return table


def _frozen(shell: Shell, frozen: Mapping[str, Any]) -> str:
    lane, reason = frozen["lane"], frozen["reason"]
    return shell.both(
        f"antrean {lane} ({reason}): paket baru disimpan di pusat, tetapi ditahan; hubungi kantor pusat",
        f"lane {lane} ({reason}): new packets are stored at head office, but held; call head office",
    )


def _disk(shell: Shell, storage: Mapping[str, Any]) -> str:
    free, queue = storage["free_bytes"] / 1e9, storage["queue_bytes"] / 1e6
    numbers = shell.both(f"{free:.1f} GB kosong, antrean {queue:.0f} MB", f"{free:.1f} GB free, queue {queue:.0f} MB")
    if storage["problem"]:
        return f"{error_text(shell, storage['problem'])}\n{numbers}"
    match storage["mark"]:
        case "warn":
            return f"[yellow]{numbers}[/yellow] " + shell.both("segera kosongkan", "free some soon")
        case "stop_documents":
            return f"[red]{numbers}[/red] " + shell.both("pindaian baru tidak diterima", "no new scans are taken")
    return numbers


def _waiting(shell: Shell, queue: Mapping[str, Any]) -> str:
    if not queue["waiting"]:
        return "0"
    oldest = queue["oldest_waiting_s"] or 0
    # After one working day the five days the law gives are running short.
    colour = "red" if oldest > 86_400 else "yellow"
    return f"[{colour}]{queue['waiting']}[/{colour}] " + shell.both(f"tertua {ago(oldest)}", f"oldest {ago(oldest)}")


def _round(shell: Shell, last: Mapping[str, Any]) -> str:
    if last["problem"]:
        return error_text(shell, last["problem"])
    if last["left"]:
        return f"[yellow]{shell.both(*not_all_taken(last))}[/yellow]"
    return shell.both(*_ROUNDS.get(last["result"], ("belum ada", "none yet")))
