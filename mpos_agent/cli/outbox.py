"""``mpos-agent outbox``: what waits, what head office accepted, what it refused and why, and how old the oldest is."""

from typing import Annotated

import typer
from rich.table import Column, Table

from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption, ago


def outbox(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show, newest first.")] = 20,
    send: Annotated[bool, typer.Option("--send", help="First make a round with head office, now.")] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show the queue to head office."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        if send:
            made = client.post("/v1/sync")
            problem = made["problem"]
            if problem:
                shell.say(problem["text_id"], problem["text_en"], style="yellow")
        queue = client.get("/v1/outbox", limit=limit)
    shell.give(queue)
    if shell.as_json:
        return
    oldest = queue["oldest_waiting_s"]
    age = f", tertua {ago(oldest)}" if oldest is not None else ""
    age_en = f", oldest {ago(oldest)}" if oldest is not None else ""
    shell.say(
        f"{queue['waiting']} menunggu{age}; {queue['accepted']} diterima; {queue['refused']} ditolak.",
        f"{queue['waiting']} waiting{age_en}; {queue['accepted']} accepted; {queue['refused']} refused.",
    )
    if not queue["rows"]:
        return
    table = Table(
        "no", Column("paket / packet", overflow="fold"), "keadaan / state", "kali / tries", "jawaban / answer"
    )
    for row in queue["rows"]:
        answer = row["receipt_no"] or row["reason"] or row["verdict"] or row["last_error"] or "-"
        table.add_row(f"{row['lane']} {row['seq']}", row["packet_id"], row["state"], str(row["attempts"]), answer)
    shell.console.print(table)
