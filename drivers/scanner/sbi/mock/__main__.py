"""A device service to develop against: ``python -m drivers.scanner.sbi.mock --roots-to FOLDER``.

Keys are made at the start and forgotten at the end. Fingers are synthetic.
"""

import argparse
import datetime
import signal
import sys
import threading
from pathlib import Path

from drivers.scanner.sbi.mock.device import GOOD_SCORE, MockDevice
from drivers.scanner.sbi.mock.identity import MockIdentity
from drivers.scanner.sbi.mock.mistakes import Mistake, Quirk
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.protocol import Level, Verb
from drivers.scanner.sbi.scanner import PORTS


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end (Ctrl-C, SIGTERM)."""
    said = _options().parse_args(arguments)
    identity = MockIdentity(datetime.datetime.now(datetime.UTC))
    identity.write_roots(said.roots_to)
    device = MockDevice(identity, environment=said.environment, level=Level(said.level), serial=said.serial)
    device.score, device.strict = said.score, not said.lenient
    device.mistake = None if said.mistake is None else Mistake(said.mistake)
    device.quirks = frozenset(Quirk(one) for one in said.quirk)
    device.delays = dict.fromkeys((Verb.REGISTER, Verb.CAPTURE), said.delay_ms / 1000)
    if said.finger is not None:
        device.glass.place_synthetic(said.finger, said.impression)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ports = range(PORTS[0], PORTS[1] + 1) if said.port is None else (said.port,)
    try:
        service = MockService(device, ports)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with service:
        sys.stdout.write(
            f"http://127.0.0.1:{service.port}/ {device.device_id} {device.environment} {device.level}; "
            f"roots in {said.roots_to}\n"
        )
        sys.stdout.flush()
        ended.wait()
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drivers.scanner.sbi.mock", description=__doc__)
    parser.add_argument("--roots-to", type=Path, required=True, help="folder the certificates to trust are written to")
    parser.add_argument("--port", type=int, help="default: the first free one of 4501-4600")
    parser.add_argument("--environment", default="Developer", help="Developer, Staging, Pre-Production or Production")
    parser.add_argument("--level", choices=[one.value for one in Level], default=Level.L0.value)
    parser.add_argument("--serial", default="MOCK00000001")
    parser.add_argument("--finger", type=int, help="number of the synthetic finger on the glass from the start")
    parser.add_argument("--impression", type=int, default=1, help="number of its touch")
    parser.add_argument("--score", type=float, default=GOOD_SCORE, help="quality that is reported, 0-100")
    parser.add_argument("--delay-ms", type=float, default=0, help="before every answer to a capture")
    parser.add_argument("--lenient", action="store_true", help="take numbers and missing lists in requests")
    parser.add_argument("--mistake", choices=[one.value for one in Mistake])
    parser.add_argument("--quirk", choices=[one.value for one in Quirk], action="append", default=[])
    return parser


if __name__ == "__main__":
    sys.exit(main())
