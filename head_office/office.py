"""Head office put together: from its folder to a running service, and orderly back."""

import logging
import sys
from collections.abc import Callable

from head_office.app import DeviceRoutes, make_app
from head_office.clusters import load_clusters
from head_office.desk.page import Desk
from head_office.desk.users import DeskUsers
from head_office.device_registry import DeviceRegistry
from head_office.document_reader import DocumentReader
from head_office.ingest import Ingest
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.keys.recipients import load_recipients
from head_office.keys.trust import ReceiptKeys
from head_office.ledger.choice import LedgerChoice, open_ledger
from head_office.moment import Clock, utc_now
from head_office.notify import notify
from head_office.opening_worker import OpeningWorker
from head_office.renewal import Renewals
from head_office.server import make_server

log = logging.getLogger(__name__)

POLL_S = 60  # An idle device asks once a minute; the scale plan raises this with the number of devices.
SWITCH_S = 0.0005
"""How long a thread keeps the interpreter when others want it. Each answer of the database finds its thread waiting
for the interpreter behind the others; with Python's own 5 ms that doubled the time of a batch on PostgreSQL."""
EX_IOERR = 74  # sysexits.h: systemd starts us again, and the start checks the whole file.


def serve(
    home: Home,
    host: str,
    port: int,
    *,
    poll_s: int = POLL_S,
    ledger_choice: LedgerChoice | None = None,
    opening: bool = True,
    clock: Clock = utc_now,
    on_listening: Callable[[str, int], None],
) -> int:
    """Serve until SIGTERM or SIGINT; returns the process's exit status.

    Raises HomeError or LedgerError when it cannot start. ``on_listening`` hears the address once requests are served.
    Without ``opening`` somebody else opens packets, and the keys they are encrypted to are not read here.
    """
    sys.setswitchinterval(SWITCH_S)
    ledger = open_ledger(home, ledger_choice)
    worker, reader = OpeningWorker(home, ledger_choice), DocumentReader(home, ledger_choice)
    broken: list[int] = []
    try:
        ledger.check()
        authority, signer = Authority.load(home), ReceiptKeys(home)
        clusters = load_clusters(home)
        registry = DeviceRegistry(ledger, authority, clock=clock, clusters=clusters)
        ingest = Ingest(ledger, registry, signer, clock, poll_s=poll_s, clusters=clusters, on_stored=worker.wake)
        renewals = Renewals(ledger, registry, clock=clock)
        devices = DeviceRoutes(registry, ingest, authority, signer, load_recipients(home), renewals=renewals)

        def on_broken() -> None:
            broken.append(EX_IOERR)
            server.stop()

        def listening(address: str, number: int) -> None:
            if opening:
                worker.start()
            notify("READY=1\nSTATUS=Serving devices and the desk")
            on_listening(address, number)

        app = make_app(devices, Desk(ledger, DeskUsers(ledger, clock=clock), clock, reader.read), on_broken)
        server = make_server(app, home, host, port, listening)
        server.run()
        notify("STOPPING=1")
        if not broken:
            ingest.close()
    finally:
        worker.stop()
        reader.stop()
        ledger.close()
    return broken[0] if broken else 0
