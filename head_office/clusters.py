"""Which of several clusters a device belongs to: by hash, and by a file that is the same everywhere.

    own = "barat"

    [[cluster]]
    name = "barat"
    url = "https://barat.example.internal:8443"

    [[cluster]]
    name = "timur"
    url = "https://timur.example.internal:8443"

It is ``clusters.toml`` in head office's folder; without it there is one cluster and everything is here. Rendezvous
hashing: the cluster with the highest hash of its name and the device's has it. With one cluster more, one device in so
many moves, and all of those to the new one; nothing has to remember who went where. All clusters share authority,
receipt keys and recipients, so that a device trusts each of them; ledgers they have their own.
"""

import hashlib
import tomllib
from dataclasses import dataclass

from head_office.errors import HomeError
from head_office.keys.home import Home

CURE = "see docs/scale.md for what it may hold"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One ledger, and the address of what serves it."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Clusters:
    """All of them, and which one we are."""

    own: Cluster
    every: tuple[Cluster, ...]

    def home_of(self, device_id: str) -> Cluster:
        """The cluster a device belongs to."""
        return max(self.every, key=lambda cluster: (_weight(cluster.name, device_id), cluster.name))

    def named(self, name: str) -> Cluster | None:
        """The cluster of that name."""
        return next((cluster for cluster in self.every if cluster.name == name), None)


def _weight(name: str, device_id: str) -> bytes:
    # A zero between the two: "a" + "bc" must not be "ab" + "c".
    return hashlib.sha256(name.encode() + b"\0" + device_id.encode()).digest()


def load_clusters(home: Home) -> Clusters | None:
    """What ``clusters.toml`` says; None where there is none. Raises HomeError naming what is wrong."""
    path = home.clusters
    try:
        said = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HomeError(f"{path} cannot be read", CURE) from error
    match said:
        case {"own": str(own), "cluster": list(listed), **rest} if not rest:
            every = tuple(_cluster(home, one) for one in listed)
        case _:
            raise HomeError(f"{path} is not a list of clusters", CURE)
    if len({one.name for one in every}) != len(every):
        raise HomeError(f"{path} has a cluster twice", CURE)
    found = next((one for one in every if one.name == own), None)
    if found is None:
        raise HomeError(f"{path} does not list {own}, which it says we are", CURE)
    return Clusters(found, every)


def _cluster(home: Home, said: object) -> Cluster:
    match said:
        case {"name": str(name), "url": str(url), **rest} if not rest and name and url.startswith("https://"):
            return Cluster(name, url.removesuffix("/"))
        case _:
            raise HomeError(f"{home.clusters}: a cluster has a name and a url that begins with https://", CURE)
