"""``mpos-agent outbox``: what waits, what head office accepted, holds or refused and why, and how old the oldest is."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape, render
from rich.table import Column, Table

from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption, ago
from mpos_agent.cli.verdict import Standing, because, decision, not_all_taken, standing, waits_because
from sync.envelope import Lane

app = typer.Typer(help="The queue to head office.", invoke_without_command=True)


@app.callback()
def outbox(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show, newest first.")] = 20,
    send: Annotated[bool, typer.Option("--send", help="First make a round with head office, now.")] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show the queue to head office."""
    if context.invoked_subcommand is not None:
        return
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        if send:
            made = client.post("/v1/sync")
            problem = made["problem"]
            if problem:
                shell.say(problem["text_id"], problem["text_en"], style="yellow")
            elif made["left"]:
                shell.say(*not_all_taken(made), style="yellow")
        queue = client.get("/v1/outbox", limit=limit)
    shell.give(queue)
    if shell.as_json:
        return
    oldest = queue["oldest_waiting_s"]
    age = f", tertua {ago(oldest)}" if oldest is not None else ""
    age_en = f", oldest {ago(oldest)}" if oldest is not None else ""
    shell.say(
        f"{queue['waiting']} menunggu{age}; {queue['accepted']} diterima; {queue['held']} ditahan; "
        f"{queue['refused']} ditolak.",
        f"{queue['waiting']} waiting{age_en}; {queue['accepted']} accepted; {queue['held']} held; "
        f"{queue['refused']} refused.",
    )
    for frozen in queue["frozen"]:
        shell.say(
            f"Antrean {frozen['lane']} dibekukan kantor pusat ({frozen['reason']}); hubungi kantor pusat.",
            f"Head office has frozen lane {frozen['lane']} ({frozen['reason']}); call head office.",
            style="red",
        )
    for one in queue["asking"]:
        shell.say(*_asked(one), style="yellow")
    if not queue["rows"]:
        return
    table = Table(
        "no", Column("paket / packet", overflow="fold"), "keadaan / state", "kali / tries", "jawaban / answer"
    )
    for row in queue["rows"]:
        table.add_row(
            f"{row['lane']} {row['seq']}", row["packet_id"], row["state"], str(row["attempts"]), _answer(shell, row)
        )
    shell.console.print(table)


def _asked(one: Mapping[str, Any]) -> tuple[str, str]:
    asked = one["asked"]
    documents = ", ".join(asked["still"])
    until = f" sampai/until {asked['until']}" if asked["until"] else ""
    note = f": {asked['note']}" if asked["note"] else ""
    return (
        f"Kantor pusat meminta {documents} untuk klaim {one['claim_id']}{until}{note}",
        f"Head office asks for {documents} for claim {one['claim_id']}{until}{note}",
    )


def _decided(shell: Shell, row: Mapping[str, Any]) -> str:
    """What people decided of the claim, after its receipt number."""
    told = decision(row)
    if told is None:
        return ""
    colour, text_id, text_en = told
    return f" [{colour}]{shell.both(escape(text_id), escape(text_en))}[/{colour}]"


@app.command("new-epoch")
def new_epoch(
    lane: Annotated[Lane, typer.Argument(help="The lane that head office has frozen.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Begin a new chain in a lane, after head office and a technician have seen to why the old one was frozen."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    if not (yes or as_json):
        shell.say(
            "Hanya sesudah penyebab pembekuan diketahui dan kantor pusat setuju: mesin dipulihkan dari salinan atau "
            "digandakan?",
            "Only once it is known why the lane was frozen, and head office agrees: was the machine restored or "
            "cloned?",
        )
        typer.confirm(render(shell.both("Mulai rantai baru?", "Begin a new chain?")).plain, abort=True)
    with shell.client() as client:
        begun = client.post("/v1/outbox/new-epoch", {"lane": lane.value})
    shell.give(begun)
    shell.say(
        f"{lane.value}: rantai baru dimulai sesudah nomor {begun['last_seq']}; {begun['still_waiting']} paket rantai "
        "lama tetap dikirim.",
        f"{lane.value}: a new chain begins after number {begun['last_seq']}; {begun['still_waiting']} packets of the "
        "old one are still sent.",
    )


def _answer(shell: Shell, row: Mapping[str, Any]) -> str:
    number = escape(str(row["receipt_no"]))
    because_id, because_en = (escape(text) for text in because(row))
    match standing(row):
        case Standing.ACCEPTED:
            return f"[green]{number}[/green]{_decided(shell, row)}"
        case Standing.HELD:
            told = shell.both(f"disimpan, tetapi ditahan: {because_id}", f"stored, but held: {because_en}")
            return f"[yellow]{number} {told}[/yellow]"
        case Standing.REFUSED:
            return f"[red]{shell.both(f'ditolak: {because_id}', f'refused: {because_en}')}[/red]"
        case Standing.WAITING:
            waits_id, waits_en = (escape(text) for text in waits_because(row))
            return shell.both(waits_id, waits_en)
