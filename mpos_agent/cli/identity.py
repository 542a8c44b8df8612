"""``mpos-agent identity``: who this device is, where its keys are, new certificates, new keys."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mpos_agent.cli.shell import (
    DEFAULT_SETTINGS,
    ConfigOption,
    JsonOption,
    LangOption,
    Shell,
    TokenOption,
    error_text,
)
from sync.edge.sealed_key import Seal

app = typer.Typer(no_args_is_help=True, help="Who this device is: certificates and keys.")


@app.command("show")
def show(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show device id, key store, key id and when the certificates run out; nothing secret."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        _print(shell, client.get("/v1/identity"))


@app.command("renew")
def renew(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Get new certificates for the same keys now; the daemon does it by itself from day 30 on."""
    _renew(Shell.open(config, as_json=as_json, lang=lang, token_file=token_file), new_keys=False)


@app.command("rotate")
def rotate(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Make new keys, in the store the old ones are in, and get certificates for them now."""
    _renew(Shell.open(config, as_json=as_json, lang=lang, token_file=token_file), new_keys=True)


@app.command("seal-key")
def seal_key(
    *,
    with_key: Annotated[
        str, typer.Option(help="What seals it, as `systemd-creds --with-key` takes it: host, tpm2, host+tpm2.")
    ] = "host",
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Make the seal for key_store = "systemd-creds"; once, as root, before enrolment."""
    shell = Shell.open(config, as_json=as_json, lang=lang)
    file = shell.settings.identity.seal_file
    Seal(file).create(with_key)
    shell.give({"seal_file": str(file)})
    shell.say(
        f"Segel dibuat: {file}. Jalankan ulang layanan agen, lalu daftarkan mesin.",
        f"The seal is made: {file}. Restart the agent's service, then enrol.",
    )


def _renew(shell: Shell, *, new_keys: bool) -> None:
    with shell.client() as client:
        reply = client.post("/v1/identity/renew", {"new_keys": new_keys})
    _print(shell, reply)


def _print(shell: Shell, reply: Mapping[str, Any]) -> None:
    shell.give(reply)
    if shell.as_json:
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for id_text, en_text, value in (
        ("Mesin", "Device", f"{reply['device_id']} ({reply['device_serial']})"),
        ("Terdaftar sejak", "Enrolled", day(reply["enrolled_at"])),
        ("Kunci tanda tangan", "Signing key", f"{reply['key_store']}: {reply['where']}"),
        ("Nomor kunci", "Key id", f"{reply['kid']} ({reply['algorithm']})"),
        ("Kunci TLS", "TLS key", reply["tls_key_store"]),
        ("Sertifikat berlaku sampai", "Certificates until", until(reply)),
        ("Diperpanjang mulai", "Renewed from", day(reply["renews_from"])),
        ("Kunci kantor pusat", "Head office's keys", f"{reply['trust_serial']}: " + ", ".join(reply["receipt_keys"])),
    ):
        table.add_row(shell.both(id_text, en_text), value if value.startswith("[") else escape(value))
    if reply["rotation_ordered"]:
        table.add_row("", shell.both("kantor pusat meminta kunci baru", "head office asked for new keys"))
    if reply["problem"]:
        table.add_row(shell.both("Perpanjangan gagal", "Renewal failed"), error_text(shell, reply["problem"]))
    shell.console.print(table)


def day(moment: str) -> str:
    """A moment of the API as a calendar day."""
    return datetime.datetime.fromisoformat(moment).date().isoformat()


def until(identity: Mapping[str, Any]) -> str:
    """When the certificates run out, red where a person has to see to it."""
    shown = day(identity["expires_at"])
    return f"[red]{shown}[/red]" if identity["warn"] else f"[green]{shown}[/green]"
