"""A day in the life of pcscd, played in namespaces of its own: started as a program by its test.

It starts, stops, kills and restarts the service itself, so it must not share one with other tests. What
happened is printed as JSON, one list of words per chapter.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from drivers.card.ektp.read import read_card
from drivers.card.pair import connected_pair
from drivers.card.pcsc import PcscReader, ReaderEvent, ReaderWatch, list_readers, open_pair
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_SAM_PORT, VpcdSlot
from drivers.errors import DeviceError
from tests.drivers.card.records import chip_template

CARD, SAM = "Virtual PCD 00 00", "Virtual PCD 00 01"
PATIENCE_S = 20.0


def _outcome(action: Callable[[], object]) -> str:
    try:
        return str(action())
    except DeviceError as error:
        return error.code


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def _start_pcscd(log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        service = subprocess.Popen(["/usr/sbin/pcscd", "--foreground"], stdout=output, stderr=output)
    _eventually(lambda: _outcome(list_readers).startswith("["))
    return service


class Diary:
    """Events of the watch by chapter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events: list[str] = []

    def write(self, event: ReaderEvent) -> None:
        """From the watch's thread."""
        with self._lock:
            self.events.append(f"{event.kind.value} {event.reader}".strip())

    def chapter(self, last: str) -> list[str]:
        """Everything up to an event that must come."""
        _eventually(lambda: last in self.events)
        with self._lock:
            end = self.events.index(last) + 1
            chapter, self.events = self.events[:end], self.events[end:]
        return chapter


def _read() -> str:
    card_reader, sam_reader = open_pair(CARD, SAM)
    with connected_pair(card_reader, sam_reader) as (card, sam):
        return read_card(card, sam, invented.sam_secrets()).biodata.name


def _interrupted(
    story: dict[str, list[str]], diary: Diary, service: subprocess.Popen[bytes], manner: str, log: Path
) -> subprocess.Popen[bytes]:
    """The service ends with a card connected, and comes back; gives the new one."""
    connection = PcscReader(CARD).connect()
    getattr(service, manner)()
    service.wait(PATIENCE_S)
    story[f"asked after {manner}"] = [_outcome(lambda: connection.transmit(bytes.fromhex("FFCA000000")).hex())]
    connection.close()
    story[manner] = sorted(diary.chapter("service_down"))
    service = _start_pcscd(log)
    back = diary.chapter(f"card_inserted {SAM}")
    if f"card_inserted {CARD}" not in back:
        back += diary.chapter(f"card_inserted {CARD}")
    story[f"back after {manner}"] = sorted(back)
    story[f"read after {manner}"] = [_outcome(_read)]
    return service


def main(log: Path) -> dict[str, list[str]]:
    """The story; returns what happened in each chapter."""
    story: dict[str, list[str]] = {}
    diary = Diary()
    watch = ReaderWatch(diary.write)
    card = VpcdSlot(VirtualEktp(synthetic_person(1, chip_template(1, 2), chip_template(2, 7))))
    sam = VpcdSlot(VirtualSam(), port=VPCD_SAM_PORT)
    watch.start()
    story["not started"] = diary.chapter("service_down")
    story["asked while down"] = [
        _outcome(list_readers),
        _outcome(lambda: PcscReader(CARD).connect()),
        _outcome(lambda: PcscReader(CARD).wait_for_card(0.1)),
    ]
    service = _start_pcscd(log)
    story["started"] = diary.chapter(f"reader_added {SAM}")
    card.insert()
    story["card laid on"] = diary.chapter(f"card_inserted {CARD}")
    sam.insert()
    story["SAM put in"] = diary.chapter(f"card_inserted {SAM}")
    story["read"] = [_outcome(_read)]
    service = _interrupted(story, diary, service, "terminate", log)
    service = _interrupted(story, diary, service, "kill", log)
    card.remove()
    story["card taken"] = diary.chapter(f"card_removed {CARD}")
    watch.stop()
    story["threads left"] = [t.name for t in threading.enumerate() if t.name == "reader watch"]
    sam.remove()
    service.terminate()
    service.wait(PATIENCE_S)
    return story


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/pcscd"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        result = main(Path(folder) / "pcscd.log")
    print(json.dumps(result))
