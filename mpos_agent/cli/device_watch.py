"""``mpos-agent devices watch``: plugs, cards and fingers as they come and go, until Ctrl-C."""

import datetime
from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption

_KINDS = frozenset({"reader", "card", "card_progress", "scanner", "finger"})
_WORDS = {
    "service_up": ("layanan kartu berjalan", "card service up"),
    "service_down": ("layanan kartu berhenti", "card service down"),
    "reader_added": ("pembaca terpasang", "reader plugged in"),
    "reader_removed": ("pembaca dicabut", "reader unplugged"),
    "card_inserted": ("kartu diletakkan", "card laid down"),
    "card_removed": ("kartu diangkat", "card lifted"),
    "scanner_added": ("pemindai terpasang", "scanner plugged in"),
    "scanner_removed": ("pemindai dicabut", "scanner unplugged"),
    "scanner_ready": ("pemindai siap", "scanner ready"),
    "scanner_not_ready": ("pemindai tidak siap", "scanner not ready"),
    "scanner_trouble": ("pemindai tidak dapat dicari", "cannot look for scanners"),
    "place_finger": ("menunggu jari", "waiting for a finger"),
    "compare": ("membandingkan", "comparing"),
    "result": ("selesai", "done"),
}


def watch(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show what happens at readers and scanners, live; Ctrl-C ends it."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client, client.events() as events:
        shell.say("Menunggu kejadian; Ctrl-C mengakhiri.", "Waiting for what happens; Ctrl-C ends it.")
        for event in events:
            if event["kind"] in _KINDS:
                shell.give(event)
                if not shell.as_json:
                    shell.console.print(f"{datetime.datetime.now().astimezone():%H:%M:%S}  {_line(shell, event)}")


def _line(shell: Shell, event: Mapping[str, Any]) -> str:
    # What a claim is about belongs to its operator; here are the devices alone.
    if event.get("doing") == "guide":
        return shell.both(escape(event["text_id"]), escape(event["text_en"]))
    if event["kind"] == "card_progress":
        return f"{shell.both('membaca kartu', 'reading the card')} {event['fraction']:.0%}"
    word = event.get("happened") if event["kind"] != "finger" else event["doing"]
    said = shell.both(*_WORDS.get(str(word), (str(word), "")))
    what = event.get("reader") or event.get("name") or event.get("code")
    where = f" ({escape(str(event['path']))})" if "path" in event else ""
    return f"{said}: {escape(str(what))}{where}" if what else said
