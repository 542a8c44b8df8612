"""Two clusters of head office with one set of keys and a ledger each; devices are handed from one to the other."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bench.faults.rig import Build, Identity, Office, found_office
from head_office.clusters import Cluster, Clusters
from head_office.device_registry import DeviceState
from head_office.errors import HeadOfficeError
from head_office.giving_up import MissingState
from head_office.hand_over import HandOverError, take_over
from head_office.moment import to_ms

HERE, THERE = (Cluster(name, f"https://{name}.example.internal:8443") for name in ("barat", "timur"))
BOTH = (HERE, THERE)
BY = "bench"
TO_BE_SAID = frozenset({MissingState.ASKED_AGAIN, MissingState.NOT_ASKED, MissingState.NOT_ON_DEVICE})


def found(folder: Path, devices: int, now: datetime) -> list[Identity]:
    """Two empty clusters below ``folder``, and so many devices enrolled at the first."""
    found_office(folder / HERE.name)
    shutil.copytree(folder / HERE.name, folder / THERE.name)
    office = Office(folder / HERE.name, clock=lambda: now, clusters=Clusters(HERE, BOTH))
    identities = [office.enrol(f"SN-{number}") for number in range(devices)]
    office.close()
    # Its tables are made here once, and copied with it.
    Office(folder / THERE.name, clock=lambda: now, clusters=Clusters(THERE, BOTH)).close()
    return identities


class TwoClusters:
    """Both of them, and the hand-over files that were written so far. The second is opened when it is first asked."""

    def __init__(self, folder: Path, build: Build, clock: Callable[[], datetime]) -> None:
        self._folder, self._build, self._clock = folder, build, clock
        self.open: dict[str, Office] = {}
        self.files: list[list[str]] = []
        self.at(HERE.url)

    def __iter__(self) -> Iterator[Office]:
        return iter(self.open.values())

    @property
    def first(self) -> Office:
        """The one that devices are enrolled at, and that has backups."""
        return self.open[HERE.name]

    def at(self, url: str) -> Office:
        """The office at that address."""
        cluster = next(one for one in BOTH if one.url == url)
        if cluster.name not in self.open:
            self.open[cluster.name] = Office(
                self._folder / cluster.name, self._build, self._clock, Clusters(cluster, BOTH)
            )
        return self.open[cluster.name]

    def serving(self, device_id: str) -> Office | None:
        """The one that takes a device's packets; None while it is on its way between the two."""
        for office in self:
            rows = office.ledger.read("SELECT state FROM devices WHERE device_id = ?", (device_id,))
            if rows and rows[0]["state"] == DeviceState.ACTIVE:
                return office
        return None

    def hand_over(self, device_id: str, *, documents_too: bool) -> bool:
        """Give a device to the other one; False where that is refused. The file is kept, for whoever takes it there."""
        office = self.serving(device_id)
        if office is None:
            return False
        own, other = (HERE, THERE) if office is self.open.get(HERE.name) else (THERE, HERE)
        with suppress(HandOverError):
            lines = self._build.hand_over(
                office.ledger,
                Clusters(own, BOTH),
                [device_id],
                to=other.name,
                documents_too=documents_too,
                now_ms=to_ms(self._clock()),
                by=BY,
            )
            self.files.append(list(lines))
            return True
        return False

    def take_over(self, file: list[str]) -> None:
        """Take a file where it is for; one that is old is refused there."""
        for cluster in BOTH:
            with suppress(HandOverError):
                take_over(
                    self.at(cluster.url).ledger,
                    Clusters(cluster, BOTH),
                    lambda: file,
                    now_ms=to_ms(self._clock()),
                    by=BY,
                )

    def give_up(self) -> int:
        """Two people declare gone what may be: only what its device has shown that it no longer has.

        Gives how many times places are missing about which something is still to be said.
        """
        open_ = 0
        for office in self:
            places = self._build.places(office.ledger, self._clock)
            for one in places.listed():
                open_ += one.state in TO_BE_SAID
                with suppress(HeadOfficeError):
                    places.ask(one.number, "restored", by="ayu")
                with suppress(HeadOfficeError):
                    places.confirm(one.number, by="budi")
        return open_

    def back_up(self) -> Path:
        """Of the first one; gives the copy."""
        copy, office = self._folder / "backup", self.first
        office.close()
        shutil.copy(office.home.ledger, copy)
        office.open()
        return copy

    def put_back(self, copy: Path) -> None:
        """The first one is restored from its backup."""
        office = self.first
        office.close()
        for ending in ("-wal", "-shm"):
            Path(f"{office.home.ledger}{ending}").unlink(missing_ok=True)
        shutil.copy(copy, office.home.ledger)
        office.open()

    def is_giving_up(self) -> bool:
        """Whether one person has asked to declare places gone, and no other has confirmed it."""
        places = self._build.places(self.first.ledger, self._clock).listed()
        return any(one.asked_by is not None and one.confirmed_by is None for one in places)

    def certificates(self) -> int:
        """How many the first one has given out."""
        rows = self.first.ledger.read("SELECT count(*) AS n FROM certificates")
        return int(rows[0]["n"])

    def restart(self) -> None:
        """As their services do."""
        for office in self:
            office.close()
            office.open()

    def close(self) -> None:
        """For good."""
        for office in self:
            office.close()

    def renew(self, identity: Identity) -> Identity:
        """New keys, where the device is served; else it keeps those it has."""
        with suppress(HeadOfficeError):
            return self.at(identity.url).renew(identity)
        return identity
