"""``mpos-agent claim``: one claim from notice to slip, with a person at the terminal or answers from a file.

The command follows the prompts of the agent: it asks what is next, sends the answer, shows what came of it.
It never opens a device, and everything it has done so far is in the agent: stopped at any point, the claim is
taken up again with ``--resume``.
"""

import contextlib
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from config.errors import ConfigError
from mpos_agent.api.client import AgentClient, RemoteError
from mpos_agent.cli.answers import Answers, AnswersFile
from mpos_agent.cli.live import Live
from mpos_agent.cli.paper import Paper
from mpos_agent.cli.portrait import portrait
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption
from mpos_agent.cli.terminal import AtTheTerminal
from mpos_agent.errors import AgentError, NotFoundError, WrongPinError
from mpos_agent.outcomes import TABLE, Exit

_PATHS = {
    "consent": "consent",
    "read_card": "card",
    "give_chip_up": "give-chip-up",
    "identity_by_hand": "identity",
    "read_passport": "passport",
    "capture_finger": "finger",
    "fallback": "fallback",
    "photo_check": "photo-check",
    "documents": "documents",
    "form": "form",
    "confirm": "confirm",
}
# On a good line the receipt is there before the slip is printed; without one nobody is kept waiting for it.
_RECEIPT_LOOKS, _RECEIPT_PAUSE_S = 8, 0.25
# What a person at the counter can wait out or put right and then do the same step again.
_TRY_AGAIN = {Exit.DEVICE, Exit.MATCHER, Exit.BUSY}


app = typer.Typer(add_completion=False, help="Make a claim, or add documents to one that was sent.")


@app.callback(invoke_without_command=True)
def claim(
    context: typer.Context,
    *,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="Answers of an unattended run (TOML or JSON).")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Go on with this open claim; 'last': the newest.")
    ] = None,
    withdraw: Annotated[
        str | None,
        typer.Option("--withdraw", help="Take this open claim back and erase it; 'last': the newest."),
    ] = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> int:
    """Make a claim, step by step; go on with an open one, or take one back."""
    if context.invoked_subcommand is not None:
        return Exit.DONE
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    source: Answers = AnswersFile(answers) if answers else AtTheTerminal(shell)
    with shell.client() as client:
        walk = _Walk(shell, client, source)
        return walk.walk(resume) if withdraw is None else walk.withdraw(withdraw)


def supplement(
    claim_id: Annotated[str, typer.Argument(help="Number of the claim, as `claim` and `outbox` show it.")],
    files: Annotated[list[Path] | None, typer.Argument(help="Scanned files: PDF, JPEG or PNG.")] = None,
    *,
    document_type: Annotated[
        str | None, typer.Option("--type", help="What they are, e.g. KK; asked for when left out.")
    ] = None,
    illegible: Annotated[bool, typer.Option("--illegible", help="They cannot be read clearly.")] = False,
    answers: Annotated[Path | None, typer.Option("--answers", help="File with [operator] (TOML or JSON).")] = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> int:
    """Add documents to a claim that was sent from this machine; without files: how far its documents have come."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    source: Answers = AnswersFile(answers) if answers else AtTheTerminal(shell)
    with shell.client() as client:
        return _Walk(shell, client, source).supplement(claim_id, document_type, files or [], legible=not illegible)


app.command("supplement")(supplement)


class _Walk:
    """One claim being made. Every answer goes to the agent before the next question."""

    def __init__(self, shell: Shell, client: AgentClient, answers: Answers) -> None:
        self._shell, self._client, self._answers = shell, client, answers
        self._paper = Paper(shell)
        answers.uploads(self._attach)
        self._tables: Mapping[str, Any] = {}
        self._claim_id = ""
        self._failures = 0

    def walk(self, resume: str | None) -> Exit:
        """Make a claim, or go on with one, to its slip."""
        self._begin()
        view = self._opened(resume)
        if view is None:
            return Exit.CLAIM
        self._claim_id = view["claim_id"]
        self._paper.opened(view)
        try:
            return self._to_its_end(view)
        except (KeyboardInterrupt, EOFError):
            return self._left_open(Exit.NOT_QUEUED)
        except (AgentError, ConfigError):
            # What went wrong is told by whoever called us; here only what that means for the claim.
            self._tell_how_to_go_on()
            raise

    def _to_its_end(self, view: Mapping[str, Any]) -> Exit:
        with self._shell.client() as listener, Live(self._shell, listener, self._claim_id) as live:
            while view["next"]["step"] is not None:
                ended = self._step(view, live)
                if ended is not None:
                    return self._left_open(ended)
                view = self._view()
        return self._ended(view)

    def withdraw(self, claim_id: str) -> Exit:
        """The member takes an open claim back: it is erased from this machine."""
        self._begin()
        view = self._resumed(claim_id, self._open_claims())
        self._claim_id = view["claim_id"]
        self._paper.opened(view)
        reply = self._client.post(f"/v1/claims/{self._claim_id}/withdraw", self._answers.withdraw())
        self._shell.give({"step": "withdraw", **reply})
        self._paper.prompt(reply["next"])
        return Exit.DONE

    def _attach(self, number: int, file: Path) -> Mapping[str, Any] | None:
        """Send a scanned file to the agent; what it found in it, or None after saying what is wrong with it."""
        with file.open("rb") as opened:
            reply = self._client.send_file("PUT", f"/v1/claims/{self._claim_id}/documents/{number}", opened)
        self._shell.give({"step": "attach", **reply})
        self._paper.attached(file.name, reply)
        details: Mapping[str, Any] = reply["details"]
        return details if reply["accepted"] else None

    def supplement(self, claim_id: str, document_type: str | None, files: Sequence[Path], *, legible: bool) -> Exit:
        """Add documents to a claim that was sent, and tell how far all of its documents have come."""
        self._begin()
        for file in files:
            kind = document_type or self._answers.document_type(self._tables)
            query = {"type": kind, "legible": str(legible).lower()}
            try:
                opened = file.open("rb")
            except OSError as error:
                cause = f"cannot be read ({error.strerror})"
                raise ConfigError(file, "supplement", cause, "check the path") from error
            with opened:
                reply = self._client.send_file("POST", f"/v1/claims/{claim_id}/supplements", opened, **query)
            self._shell.give({"step": "supplement", **reply})
            self._paper.supplemented(file.name, reply)
            if not reply["accepted"]:
                return Exit.CLAIM
        sent = self._client.get(f"/v1/claims/{claim_id}/documents")
        self._shell.give({"result": "DOCUMENTS", "claim_id": claim_id, **sent})
        self._paper.sent_documents(sent["documents"])
        return Exit.DONE

    def _begin(self) -> None:
        self._client.sign_in_token(self._signed_in())
        self._tables = self._client.get("/v1/tables")
        self._paper.learn(self._tables)

    def _open_claims(self) -> list[Mapping[str, Any]]:
        return [one for one in self._client.get("/v1/claims")["claims"] if one["readable"]]

    def _resumed(self, wanted: str, open_claims: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        if wanted == "last":
            if not open_claims:
                raise NotFoundError("there is no open claim")
            wanted = open_claims[-1]["claim_id"]
        return self._client.get(f"/v1/claims/{wanted}")

    def _signed_in(self) -> str:
        """The sign-in of the operator; a person who mistyped the PIN is asked again, until it is locked."""
        while True:
            try:
                return str(self._client.post("/v1/sign-in", self._answers.sign_in())["operator"])
            except RemoteError as error:
                if error.body.get("code") != WrongPinError.code or not self._answers.corrects():
                    raise
                self._paper.trouble(error.body)

    def _opened(self, resume: str | None) -> Mapping[str, Any] | None:
        """The open claim that was asked for, or a new one; None when it is blocked."""
        open_claims = self._open_claims()
        wanted = resume or self._answers.resume(open_claims, self._tables)
        if wanted is not None and (open_claims or wanted != "last"):
            return self._resumed(wanted, open_claims)
        while True:
            reply = self._client.post("/v1/claims", self._answers.start(self._tables))
            self._shell.give({"step": "start", **reply})
            self._paper.findings(reply["blocks"], blocking=True)
            if reply["elsewhere_id"]:
                self._shell.say(reply["elsewhere_id"], reply["elsewhere_en"])
            if reply["accepted"] or not self._answers.corrects():
                claim_view: Mapping[str, Any] | None = reply["claim"]
                return claim_view

    def _step(self, view: Mapping[str, Any], live: Live) -> Exit | None:
        """Do what is next. None: go on; otherwise why the walk ends here."""
        prompt = view["next"]
        step = str(prompt["step"])
        self._paper.prompt(prompt)
        try:
            name, body = self._answer(prompt, view)
            with live.following(name):
                reply = self._client.post(f"/v1/claims/{self._claim_id}/{_PATHS[name]}", body)
        except RemoteError as error:
            return self._failed(error, step, view)
        self._shell.give({"step": name, **reply})
        self._paper.outcome(name, reply)
        if not reply["accepted"]:
            self._answers.blocked(name, [str(one["field"]) for one in reply["blocks"]])
            return None if self._answers.corrects() else Exit.CLAIM
        if reply["happened"] == "FINGER_MISSED":
            return self._tried_in_vain(step, view, Exit.NOT_QUEUED)
        self._failures = 0
        return None

    def _answer(self, prompt: Mapping[str, Any], view: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        step = str(prompt["step"])
        if prompt["code"] == "CARD_OR_IDENTITY" and (given_up := self._answers.without_chip(view)) is not None:
            return "give_chip_up", given_up
        if step == "read_card" and (passport := self._answers.passport()) is not None:
            return "read_passport", passport
        if step == "consent":
            self._paper.consent(self._tables["consent"])
        if step == "confirm":
            summary = self._client.get(f"/v1/claims/{self._claim_id}/summary")
            self._shell.give({"step": "summary", "summary": summary})
            self._paper.summary(summary)
            return step, self._answers.confirm(summary)
        with self._photo(step, view):
            return step, self._answers.answer(prompt, view, self._tables)

    @contextlib.contextmanager
    def _photo(self, step: str, view: Mapping[str, Any]) -> Iterator[None]:
        """The chip's photo beside the questions about it; gone from the screen once they are answered."""
        console = self._shell.console
        person_answers = self._answers.corrects() and not self._shell.as_json
        if step not in {"photo_check", "fallback"} or not person_answers:
            yield
            return
        shown: Text | None = None
        # Fetching it is what is recorded as showing it: not where nobody could see it.
        if view["chip"] and console.is_terminal and (jpeg := self._client.photo(self._claim_id)) is not None:
            shown = portrait(jpeg, console)
        if shown is None:
            self._shell.say(
                "  Bandingkan orangnya dengan foto yang tercetak pada kartu atau dokumennya.",
                "Compare the person with the photo printed on the card or paper.",
                "yellow",
            )
            yield
            return
        console.set_alt_screen(True)
        try:
            console.print(shown)
            yield
        finally:
            # A screen of its own: the photo does not stay in what can be scrolled back to.
            console.set_alt_screen(False)

    def _failed(self, error: RemoteError, step: str, view: Mapping[str, Any]) -> Exit | None:
        """A device or the matcher failed: the agent has noted it, and the prompt may have changed."""
        row = TABLE.get(str(error.body.get("code")))
        if row is None or row.exit_code not in _TRY_AGAIN or step not in {"read_card", "capture_finger"}:
            raise error
        self._shell.give({"step": step, "error": error.body})
        self._paper.trouble(error.body)
        return self._tried_in_vain(step, view, row.exit_code)

    def _tried_in_vain(self, step: str, view: Mapping[str, Any], exit_code: Exit) -> Exit | None:
        self._failures += 1
        if self._answers.go_on(step, self._failures):
            return None
        self._failures = 0
        if step == "read_card" and (given_up := self._answers.without_chip(view)) is not None:
            return self._instead("give_chip_up", given_up)
        if step == "capture_finger" and (signed := self._answers.without_finger(view)) is not None:
            return self._instead("fallback", signed)
        return exit_code

    def _instead(self, name: str, body: Mapping[str, Any]) -> Exit | None:
        reply = self._client.post(f"/v1/claims/{self._claim_id}/{_PATHS[name]}", body)
        self._shell.give({"step": name, **reply})
        self._paper.outcome(name, reply)
        return None if reply["accepted"] or self._answers.corrects() else Exit.CLAIM

    def _view(self) -> Mapping[str, Any]:
        return self._client.get(f"/v1/claims/{self._claim_id}")

    def _ended(self, view: Mapping[str, Any]) -> Exit:
        if view["state"] != "QUEUED":
            self._shell.give({"result": view["state"], "claim_id": self._claim_id})
            return Exit.NOT_QUEUED
        self._paper.slip(view["slip"])
        packet = self._packet()
        self._paper.receipt(packet)
        self._shell.give({"result": "QUEUED", "claim_id": self._claim_id, "slip": view["slip"], "packet": packet})
        return Exit.DONE

    def _packet(self) -> Mapping[str, Any] | None:
        """The packet's row, with head office's receipt when that comes while the slip is being printed."""
        packet: Mapping[str, Any] | None = None
        for _ in range(_RECEIPT_LOOKS):
            packet = self._client.get(f"/v1/claims/{self._claim_id}/slip")["packet"]
            if packet is None or packet["receipt_no"] or packet["attempts"]:
                break
            time.sleep(_RECEIPT_PAUSE_S)
        return packet

    def _left_open(self, exit_code: Exit) -> Exit:
        self._shell.give({"result": "OPEN", "claim_id": self._claim_id, "exit": int(exit_code)})
        self._tell_how_to_go_on()
        return exit_code

    def _tell_how_to_go_on(self) -> None:
        command = shlex.join(["mpos-agent", "claim", "--resume", self._claim_id, *self._shell.given()])
        self._shell.say("Klaim tetap terbuka; lanjutkan dengan:", "The claim stays open; go on with:", "yellow")
        if not self._shell.as_json:
            # On one line whatever the width: it is there to be copied.
            self._shell.console.print(f"  {command}", markup=False, soft_wrap=True)
