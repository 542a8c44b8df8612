"""Card and scanner, a thousand times: does the agent stay as small as it was, and whose time does a read take?

The real daemon runs in a process of its own. Cards are laid on a virtual reader, read over the local API and pulled
out (one in five in the middle of the read, one in ten is a passport); the virtual scanner is plugged in, touched and
unplugged. Per hundred cycles the daemon's anonymous memory, threads and open descriptors are printed; growth ends the
bench with 1. The second part runs card reads at the pace of a real chip and scanner captures at the pace they were
recorded at, and tells the device's share of the time.

    python -m bench devices                      a thousand cycles of each, over sockets; twenty minutes
    python -m bench devices --pcsc --cards 100   the same through the real pcscd; start it in namespaces of its own:
                                                 python -m mpos_agent.demo.private_pcscd -- python -m bench devices …
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.device_time import shares
from bench.report import heading
from config.load import load_settings
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import PROFILES
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.invented import CONFIG, PCID
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_CARD_PORT, VPCD_SAM_PORT, SocketSlot, VpcdSlot
from drivers.scanner.virtual_server import VirtualScannerServer
from mpos_agent.api.client import AgentClient, RemoteError
from mpos_agent.people import Role
from mpos_agent.wiring import people_at_rest
from tests.api.rig import OPERATOR, enrol_by_hand, start_claim
from tests.cli.daemon import Daemon, write_settings
from tests.drivers.card.records import chip_template

BLOCK = 100
WARM_UP = 0.2
"""Of all cycles: libraries load, caches fill, the allocator finds its size."""
MEMORY_LIMIT_KB = 256.0
"""Growth per hundred cycles by least squares: a leaked picture or photo per cycle would be ten times as much."""
COUNT_LIMIT = 0.25
"""Threads or descriptors per hundred cycles: a pool may find its size late, a leak has one in every cycle or try."""
CARD = "Virtual PCD 00 00"


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    memory_kb: int
    """Anonymous memory: what it allocated, without files it maps."""
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Size":
        """Now."""
        process = Path(f"/proc/{pid}")
        fields = {}
        for file in ("smaps_rollup", "status"):
            for line in (process / file).read_text(encoding="ascii").splitlines():
                name, _, rest = line.partition(":")
                fields[name] = rest.split()
        descriptors = len(list((process / "fd").iterdir()))
        return cls(int(fields["Anonymous"][0]), int(fields["Threads"][0]), descriptors)


@dataclass(slots=True)
class Growth:
    """Sizes at even distances over a run."""

    what: str
    cycles: int
    every: int
    sizes: list[Size] = field(default_factory=list)

    @property
    def settled(self) -> list[Size]:
        """Those after the warm-up."""
        return self.sizes[max(1, round(len(self.sizes) * WARM_UP)) :]

    def per_block(self, name: str) -> float:
        """Growth per hundred cycles by least squares over what is settled."""
        values = [float(getattr(size, name)) for size in self.settled]
        if len(values) < 2:
            return 0.0
        return statistics.linear_regression(range(len(values)), values).slope * BLOCK / self.every

    @property
    def faults(self) -> list[str]:
        """What is not flat, in words."""
        said = []
        for name, limit in (("memory_kb", MEMORY_LIMIT_KB), ("threads", COUNT_LIMIT), ("descriptors", COUNT_LIMIT)):
            growth = self.per_block(name)
            # One more or less at the end is a pool that breathes.
            if growth > limit and getattr(self.settled[-1], name) > getattr(self.settled[0], name) + 1:
                said.append(f"{name} grows by {growth:.2f} per hundred cycles")
        return said

    def print_latest(self) -> None:
        """A line per hundred cycles, as they come: a long run shows what it does."""
        cycles, size = (len(self.sizes) - 1) * self.every, self.sizes[-1]
        if cycles % max(BLOCK, self.every) == 0 or cycles == self.cycles:
            print(f"{cycles:7d} {size.memory_kb / 1024:10.1f} {size.threads:8d} {size.descriptors:12d}", flush=True)

    def print_verdict(self) -> None:
        """What is flat, what is not."""
        memory = self.per_block("memory_kb")
        print(f"memory {memory:+.0f} kB per hundred cycles after warm-up (limit {MEMORY_LIMIT_KB:.0f})")
        print("flat" if not self.faults else f"NOT FLAT: {'; '.join(self.faults)}", flush=True)


class Counter:
    """One daemon and the hands at its devices; use ``with``."""

    def __init__(self, folder: Path, *, pcsc: bool = False) -> None:
        self._folder, self._pcsc = folder, pcsc
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Counter":
        with contextlib.ExitStack() as going_up:
            self._start(going_up)
            self._open = going_up.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _start(self, opened: contextlib.ExitStack) -> None:
        folder = self._folder
        # Through pcscd nobody names a reader: the SAM is found by asking.
        card = {"transport": "pcsc"} if self._pcsc else {"card_socket": "card.sock", "sam_socket": "sam.sock"}
        config = write_settings(
            folder,
            agent={"state_dir": "state", "run_dir": "run", "accept_test_identities": True},
            site={"station": "LOKET UJI"},
            card={**card, "sam_secrets_file": "sam-secrets", "wait_s": 10.0},
            scanner={"driver": "virtual", "socket": "scanner.sock", "capture_timeout_s": 10.0},
            upload={"poll_s": 3600.0},
            log={"level": "ERROR"},
        )
        secrets = folder / "sam-secrets"
        secrets.touch(mode=0o600)
        secrets.write_bytes(PCID + CONFIG)
        settings = load_settings(config)
        enrol_by_hand(settings)
        with people_at_rest(settings) as people:
            people.add(*OPERATOR, [Role.OPERATOR])
        person = synthetic_person(1, chip_template(1, 2), chip_template(2, 7))
        self._cards: dict[str, Emulator] = {
            **{chip.name: VirtualEktp(person, chip) for chip in PROFILES},
            "passport": VirtualPassport(synthetic_holder(1)),
        }
        self._torn = [VirtualEktp(person, chip) for chip in PROFILES]
        self._person = person
        self._card: VpcdSlot | SocketSlot
        sam: VpcdSlot | SocketSlot
        if self._pcsc:
            self._card, sam = VpcdSlot(VirtualSam(), port=VPCD_CARD_PORT), VpcdSlot(VirtualSam(), port=VPCD_SAM_PORT)
            opened.callback(self._card.remove)
            opened.callback(sam.remove)
        else:
            self._card, sam = SocketSlot(None, folder / "card.sock"), SocketSlot(VirtualSam(), folder / "sam.sock")
            opened.callback(self._card.close)
            opened.callback(sam.close)
        sam.insert()
        self._scanner = opened.enter_context(VirtualScannerServer(folder / "scanner.sock"))
        self._daemon = opened.enter_context(Daemon(config))
        threading.Thread(target=self._listen, args=(self._daemon,), name="service manager", daemon=True).start()
        token = (folder / "run" / "cli.token").read_text().strip()
        self._machine = opened.enter_context(AgentClient(folder / "run" / "agent.sock", token))
        self._operator = opened.enter_context(AgentClient(folder / "run" / "agent.sock", token))
        reply = self._operator.post("/v1/sign-in", {"person_id": OPERATOR[0], "pin": OPERATOR[1]})
        self._operator.sign_in_token(reply["operator"])

    @staticmethod
    def _listen(daemon: Daemon) -> None:
        """Take the daemon's signs of life, as a service manager does, until it is gone."""
        with contextlib.suppress(OSError, AssertionError):
            while True:
                daemon.wait_for("=")

    def size(self) -> Size:
        """What the daemon holds."""
        return Size.of(self._daemon.process.pid)

    def card_cycle(self, number: int) -> None:
        """Lay a card down, read it, pull it; one in five is pulled while it is read."""
        torn, passport = number % 5 == 3, number % 10 == 7
        chip = PROFILES[number % len(PROFILES)]
        card: Emulator = self._cards["passport"] if passport else self._cards[chip.name]
        if torn:
            # Somewhere between the first command and the last one.
            card = VirtualEktp(self._person, chip, Faults(tear_at=1 + 7 * number % 40))
        claim_id = start_claim(self._operator)
        self._card.insert(card)
        try:
            if passport:
                reply = self._operator.post(f"/v1/claims/{claim_id}/passport", {"mrz": synthetic_holder(1).zone})
                assert reply["happened"] == "PASSPORT_READ", reply
            else:
                reply = self._operator.post(f"/v1/claims/{claim_id}/card")
                assert reply["happened"] == "CARD_READ", reply
                assert not torn, "the card was to be pulled"
        except RemoteError as error:
            if not torn or error.body["code"] != "card_removed":
                raise
        finally:
            self._card.remove()
            self._until_empty()
        self._operator.post(f"/v1/claims/{claim_id}/withdraw", {"reason": "MEMBER_CHANGED_MIND"})

    def _until_empty(self) -> None:
        """pcscd notices a pulled card some 0.3 s later; no hand is quicker than that with the next one."""
        if self._pcsc:
            from drivers.card.pcsc import PcscReader  # noqa: PLC0415 - a machine without pcscd has no library either

            while PcscReader(CARD).wait_for_card(0.0):
                time.sleep(0.05)

    def scanner_cycle(self, number: int) -> None:
        """Plug the scanner in, put a finger on it, take its picture, unplug it."""
        self._scanner.plug()
        self._scanner.place(ridges(number))
        reply = self._machine.post("/v1/devices/scanner/test", {})
        assert reply["place_again"] is None, reply
        self._scanner.unplug()
        try:
            self._machine.post("/v1/devices/scanner/test", {})
        except RemoteError as error:
            if error.body["code"] not in ("device_not_found", "device_removed"):
                raise
        else:
            raise AssertionError("a picture without a scanner")


def ridges(number: int) -> NDArray[np.uint8]:
    """Stripes of a new direction and phase each time: no picture is one the agent had before."""
    rows, columns = np.mgrid[0:388, 0:374]
    angle = 0.37 * number
    wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) / 1.43 + number)
    inside = ((rows - 194) / 180) ** 2 + ((columns - 187) / 150) ** 2 < 1
    return np.where(inside, np.where(wave > 0, 215, 45), 240).astype(np.uint8)


def run(what: str, counter: Counter, cycle: Callable[[int], None], cycles: int, every: int) -> Growth:
    """So many cycles, measured every so many."""
    growth = Growth(what, cycles, every, [counter.size()])
    print(f"\n{what}, {cycles} cycles\n cycles  memory MB  threads  descriptors")
    growth.print_latest()
    for number in range(1, cycles + 1):
        cycle(number)
        if number % every == 0:
            growth.sizes.append(counter.size())
            growth.print_latest()
    return growth


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Paths of Unix sockets are short."""
    with tempfile.TemporaryDirectory(prefix="dev", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield Path(name)


def main(arguments: Sequence[str]) -> int:
    """Cycles of both, then the shares; 1 when something grows or a device has less than its share."""
    parser = argparse.ArgumentParser(prog="python -m bench devices", description=__doc__)
    parser.add_argument("--cards", type=int, default=1000, help="card cycles")
    parser.add_argument("--scans", type=int, default=1000, help="scanner cycles")
    parser.add_argument("--pcsc", action="store_true", help="cards through the real pcscd with the virtual reader")
    parser.add_argument("--no-shares", action="store_true", help="leave the second part out")
    given = parser.parse_args(arguments)
    print(heading("devices"))
    failed = False
    with short_folder() as folder, Counter(folder, pcsc=given.pcsc) as counter:
        way = "pcscd" if given.pcsc else "sockets"
        for what, cycle, cycles in (
            (f"card laid down, read, pulled ({way})", counter.card_cycle, given.cards),
            ("scanner plugged in, touched, unplugged", counter.scanner_cycle, given.scans),
        ):
            if not cycles:
                continue
            began = time.monotonic()
            growth = run(what, counter, cycle, cycles, max(1, min(20, cycles // 10)))
            growth.print_verdict()
            print(f"{(time.monotonic() - began) / cycles * 1000:.0f} ms a cycle")
            failed |= bool(growth.faults)
    if not given.no_shares:
        failed |= not shares(pcsc=given.pcsc)
    return int(failed)
