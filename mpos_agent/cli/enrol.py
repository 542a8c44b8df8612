"""``mpos-agent enrol``: a one-time token of head office becomes this device's identity."""

from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ConfigError
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption
from mpos_agent.errors import NoDaemonError
from sync.edge.address import head_office_url
from sync.errors import AuthorityFileError


def enrol(
    *,
    url: Annotated[str, typer.Option(help="Address of head office, https://.")],
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MPOS_ENROL_TOKEN",
            help="One-time token of head office; asked for when not given. Others on this machine see an argument.",
        ),
    ] = None,
    enrol_token_file: Annotated[
        Path | None, typer.Option(help="File with the one-time token alone, mode 0600, in place of --token.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Head office's certificate authority (PEM), handed over with the token.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="In place of the enrolment there is; that one is kept beside it.")
    ] = False,
    leave_waiting: Annotated[
        bool, typer.Option("--leave-waiting", help="Although packets wait that only the enrolment before can deliver.")
    ] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Enrol this device at head office. Once; through the daemon when it runs."""
    url = head_office_url(url)
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    ca_pem = _read(ca_file) if ca_file else None
    token = _token(token, enrol_token_file)
    try:
        with shell.client() as client:
            made = client.post(
                "/v1/enrol",
                {"url": url, "token": token, "ca_pem": ca_pem, "again": again, "leave_waiting": leave_waiting},
            )
    except NoDaemonError:
        made = _without_daemon(shell, url, token, ca_pem, again=again, leave_waiting=leave_waiting)
    shell.give(made)
    site = made["site"]
    shell.say(
        f"Mesin ini terdaftar sebagai {made['device_id']} (cabang {site['branch_code']}, {site['site_type']}).",
        f"This device is enrolled as {made['device_id']} (branch {site['branch_code']}, {site['site_type']}).",
    )


def _read(file: Path) -> str:
    """The certificate authority as text; more is looked at where it is used."""
    try:
        return file.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise AuthorityFileError(file, "is not PEM text") from error
    except OSError as error:
        raise AuthorityFileError(file, error.strerror or "cannot be read") from error


def _token(given: str | None, file: Path | None) -> str:
    """The one-time token, wherever it is; typed without being shown when it is nowhere."""
    if file is None:
        return given or str(typer.prompt("Token", hide_input=True))
    if given is not None:
        raise typer.BadParameter("give the token once", param_hint="--token, --enrol-token-file")
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(file, "--enrol-token-file", "is open to group or others", "chmod 600 it")
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, "--enrol-token-file", "cannot be read", "give a file with the token alone") from error


def _without_daemon(
    shell: Shell, url: str, token: str, ca_pem: str | None, *, again: bool, leave_waiting: bool
) -> dict[str, Any]:
    """With the database's own lock, so that a daemon that starts now has to wait."""
    # The daemon's libraries take a second to load; only this way needs them.
    from mpos_agent.api.replies import enrolled  # noqa: PLC0415
    from mpos_agent.wiring import enrol_at_rest  # noqa: PLC0415

    site = enrol_at_rest(shell.settings, url, token, ca_pem, again=again, leave_waiting=leave_waiting)
    return enrolled(site).model_dump(mode="json")
