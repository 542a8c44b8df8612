"""``python -m bench NAME``: measurements and proofs. Each prints what it measured, when and where."""

import importlib
import sys

BENCHES = {
    "accuracy": "error rates on real prints, ours and nbis-python",
    "interop": "our probes against other extractors' templates, and as on a chip",
    "calibrate": "fit the score's weights and what a score means",
    "attempts": "false match rate of attempt series and of two fingers, by simulation",
    "attack": "the best score of fake templates, and how many tries it took",
    "fuzz": "foreign bytes and arrays: no crash, no hang, no high score",
    "quality": "does quality predict refusals, and does guidance name the fault",
    "leftovers": "is a new touch taken for the grease or the unlifted finger of the one before",
    "failover": "the database's primary killed under load: back in time, nothing lost, nothing twice",
    "scale": "what a handshake, a poll and a packet cost head office, and a million devices with them",
    "speed": "time and memory, beside peers",
    "ingest": "head office taking in claims on each ledger, against verifying and inserting alone",
    "outbox": "putting a packet beside bare SQLite; a queue of 10^3 to 10^6 packets",
    "devices": "a thousand cards and scanner plugs: memory, threads, descriptors; whose time a read takes",
    "link": "goodput over an emulated slow line, and memory while a long backlog drains",
    "scanners": "USB scanners: our share of a capture, exact pictures over libusb, a thousand plugs",
    "torture": "every fault on every path of custody, each tool against wrong builds; `make torture`",
}


def main() -> int:
    """Hand over to the bench named first."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        print(__doc__)
        for name, what in BENCHES.items():
            print(f"  {name:10s} {what}")
        return 2
    return int(importlib.import_module(f"bench.{sys.argv[1]}").main(sys.argv[2:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
