"""A counter without hardware: a card, a SAM and a scanner that behave, and misbehave, on request.

The agent does not know. Card and SAM lie in the virtual reader of a real pcscd; where there is none they are
reached over Unix sockets. Pictures and templates stay in this process's memory.
"""

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, ChipProfile
from drivers.card.virtual.faults import NO_FAULTS, Faults
from drivers.card.virtual.invented import CONFIG, PCID
from drivers.card.virtual.person import VirtualPerson, synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import SocketSlot, VpcdSlot
from drivers.scanner.virtual_server import VirtualScannerServer
from matcher import Network, extract
from matcher.chip_profile import as_on_chip
from mpos_agent.demo.fingers import Fingers

CARD_PORT, SAM_PORT = 35963, 35964
"""Slots 0 and 1 of the virtual reader as Debian packages it."""
RIGHT_INDEX, LEFT_INDEX = 2, 7
"""ISO/IEC 19794-2 finger positions."""
ENROLLED = 1
"""The impression that was taken when the card was made; the scanner sees the ones after it."""


class _Again:
    """To the hand: the picture was taken, lift and place the same finger anew."""


class VirtualCounter:
    """Card reader, SAM and scanner of one counter; use ``with``.

    Parameters
    ----------
    folder : sockets and the SAM's (synthetic) secrets file go here.
    fingers : number ``2 n`` is the right index of person n, ``2 n + 1`` the left one.
    network : makes the template that the card of a person carries.
    real_pcscd : whether a pcscd with the virtual reader runs in this network namespace.
    """

    def __init__(self, folder: Path, fingers: Fingers, network: Network, *, real_pcscd: bool) -> None:
        self._folder, self.fingers, self._network, self._real = folder, fingers, network, real_pcscd
        self._open = ExitStack()
        self._persons: dict[int, VirtualPerson] = {}
        self._latest: dict[int, int] = {}
        self._touches: queue.Queue[Iterator[NDArray[np.uint8]] | _Again | None] = queue.Queue()
        self._hand = threading.Thread(target=self._move_hand, name="virtual-hand", daemon=True)
        self.secrets_file = folder / "sam-secrets"
        self._slot: VpcdSlot | SocketSlot | None = None
        self._sam_slot: VpcdSlot | SocketSlot | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.secrets_file.unlink(missing_ok=True)
        self.secrets_file.touch(mode=0o600)
        self.secrets_file.write_bytes(PCID + CONFIG)
        self.scanner = self._open.enter_context(
            VirtualScannerServer(
                self._folder / "scanner.sock",
                dpi=self.fingers.dpi,
                after_capture=lambda: self._touches.put(_Again()),
            )
        )
        self._hand.start()
        self.insert_sam()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove_card()
        self.remove_sam()
        self._touches.put(None)
        self._hand.join()
        self._open.close()

    # --- card and SAM ------------------------------------------------------------------------

    def person(self, number: int) -> VirtualPerson:
        """The synthetic holder with this number; the card's templates are made at first use."""
        if number not in self._persons:
            templates = [
                self._chip_template(2 * number + side, position)
                for side, position in ((0, RIGHT_INDEX), (1, LEFT_INDEX))
            ]
            self._persons[number] = synthetic_person(number, templates[0], templates[1])
        return self._persons[number]

    def insert_card(self, number: int, faults: Faults = NO_FAULTS, chip: ChipProfile = NXP_A) -> None:
        """Lay the card of this person on the reader, in place of whatever lies there."""
        self.remove_card()
        card = VirtualEktp(self.person(number), chip, faults)
        self._slot = self._plug_in(card, CARD_PORT, "card.sock")

    def remove_card(self) -> None:
        """Take the card away; nothing happens when none lies there."""
        if self._slot is not None:
            self._slot.remove()
            self._slot = None

    def insert_sam(self, faults: Faults = NO_FAULTS) -> None:
        """Put the SAM into its slot, in place of whatever is there."""
        self.remove_sam()
        self._sam_slot = self._plug_in(VirtualSam(faults=faults), SAM_PORT, "sam.sock")

    def remove_sam(self) -> None:
        """Pull the SAM out; nothing happens when it is not there."""
        if self._sam_slot is not None:
            self._sam_slot.remove()
            self._sam_slot = None

    def _plug_in(self, emulator: VirtualEktp | VirtualSam, port: int, socket_name: str) -> VpcdSlot | SocketSlot:
        slot: VpcdSlot | SocketSlot = (
            VpcdSlot(emulator, "127.0.0.1", port) if self._real else SocketSlot(emulator, self._folder / socket_name)
        )
        slot.insert()
        return slot

    def _chip_template(self, finger: int, position: int) -> bytes:
        template = extract(self.fingers.impression(finger, ENROLLED), self.fingers.dpi, self._network)
        try:
            return as_on_chip(template, position)
        finally:
            template.wipe()

    # --- finger ------------------------------------------------------------------------------

    def touch(self, finger: int) -> None:
        """From now on this finger is lifted after each capture and placed again, a little differently."""
        self._touches.put(self._impressions(finger))

    def lift(self) -> None:
        """Nobody touches the scanner."""
        self._touches.put(iter(()))

    def _impressions(self, finger: int) -> Iterator[NDArray[np.uint8]]:
        while True:
            # A finger never touches the glass twice in the same way, whichever claim it is for.
            number = self._latest[finger] = self._latest.get(finger, ENROLLED) + 1
            yield self.fingers.impression(finger, number)

    def _move_hand(self) -> None:
        """The hand's own thread: growing an impression takes a moment, the scanner must not wait for it."""
        hand: Iterator[NDArray[np.uint8]] = iter(())
        while (order := self._touches.get()) is not None:
            if not isinstance(order, _Again):
                hand = order
            self.scanner.lift()
            pixels = next(hand, None)
            if pixels is not None:
                self.scanner.place(pixels, self.fingers.dpi)

    # --- the agent's side of it --------------------------------------------------------------

    def settings(self) -> Mapping[str, Mapping[str, str]]:
        """The sections of the agent's settings that name these devices."""
        if self._real:
            card = {
                "transport": "pcsc",
                "card_reader": "Virtual PCD 00 00",
                "sam_reader": "Virtual PCD 00 01",
                "sam_secrets_file": str(self.secrets_file),
            }
        else:
            card = {
                "transport": "socket",
                "card_socket": str(self._folder / "card.sock"),
                "sam_socket": str(self._folder / "sam.sock"),
                "sam_secrets_file": str(self.secrets_file),
            }
        return {"card": card, "scanner": {"driver": "virtual", "socket": str(self._folder / "scanner.sock")}}

    def obey(self, line: str) -> str:
        """One command of the kiosk's control socket: a JSON object with ``do``; the answer is JSON too."""
        command = json.loads(line)
        match command.get("do"):
            case "insert_card":
                self.insert_card(int(command.get("person", 1)))
            case "remove_card":
                self.remove_card()
            case "insert_sam":
                self.insert_sam()
            case "remove_sam":
                self.remove_sam()
            case "touch":
                self.touch(int(command["finger"]))
            case "lift":
                self.lift()
            case "plug":
                self.scanner.plug()
            case "unplug":
                self.scanner.unplug()
            case other:
                return json.dumps({"error": f"unknown command {other!r}"})
        return json.dumps({"done": command["do"]})
