"""What happens while a step waits for a device: the progress of the card read, the words for the finger."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

from mpos_agent.api.client import AgentClient
from mpos_agent.cli.shell import Shell
from mpos_agent.errors import AgentError

_WORDS = {
    "open_sam": ("membuka SAM", "opening the SAM"),
    "select": ("memilih aplikasi e-KTP", "selecting the e-KTP application"),
    "photo": ("membaca foto", "reading the photo"),
    "authenticate": ("memeriksa keaslian chip", "authenticating the chip"),
    "signature": ("membaca tanda tangan data", "reading the data signature"),
    "biodata": ("membaca identitas", "reading the identity"),
    "signature_image": ("membaca tanda tangan", "reading the signature"),
    "minutiae_1": ("membaca sidik jari 1", "reading finger 1"),
    "minutiae_2": ("membaca sidik jari 2", "reading finger 2"),
    "verify": ("memeriksa tanda tangan data", "checking the data signature"),
    "place_finger": ("letakkan jari pada pemindai", "place the finger on the scanner"),
    "compare": ("membandingkan; jari boleh diangkat", "comparing; the finger may be lifted"),
}
# The stream ends when the claim does; a thread that does not notice holds nobody up.
_JOIN_S = 1.0


class Live:
    """Follows the agent's events about one claim (None: a test) in a thread of its own; shows them meanwhile."""

    def __init__(self, shell: Shell, listener: AgentClient, claim_id: str | None) -> None:
        self._shell, self._listener, self._claim_id = shell, listener, claim_id
        self._listening = threading.Event()
        self._progress: Progress | None = None
        self._task = TaskID(-1)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        # Events are a comfort: without them the claim goes on, only more quietly.
        self._listening.wait(_JOIN_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._thread.join(_JOIN_S)

    @contextlib.contextmanager
    def following(self, step: str) -> Iterator[None]:
        """Show the progress of a device step while the block runs."""
        if step not in {"read_card", "capture_finger"} or self._shell.as_json:
            yield
            return
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
        if step == "read_card":
            columns += [BarColumn(), TaskProgressColumn()]
        with Progress(*columns, console=self._shell.console, transient=True) as progress:
            task = progress.add_task(self._shell.both("menunggu", "waiting"), total=1.0)
            with self._lock:
                self._progress, self._task = progress, task
            try:
                yield
            finally:
                with self._lock:
                    self._progress = None

    def _listen(self) -> None:
        with contextlib.suppress(AgentError), self._listener.events() as events:
            self._listening.set()
            for event in events:
                if event.get("claim_id") == self._claim_id:
                    self._show(event)

    def _show(self, event: Mapping[str, Any]) -> None:
        if event["kind"] in {"card_progress", "finger"} and self._shell.as_json:
            told = {"progress": event.get("step") or event.get("doing"), "fraction": event.get("fraction")}
            self._shell.give(told | ({"code": event["code"]} if event.get("doing") == "guide" else {}))
        with self._lock:
            if self._progress is None:
                return
            match event["kind"]:
                case "card_progress":
                    words = _WORDS.get(event["step"], ("", ""))
                    self._progress.update(self._task, completed=event["fraction"], description=self._shell.both(*words))
                case "finger" if event["doing"] == "guide":
                    self._progress.update(self._task, description=self._shell.both(event["text_id"], event["text_en"]))
                case "finger":
                    self._progress.update(
                        self._task, description=self._shell.both(*_WORDS.get(event["doing"], ("", "")))
                    )
