"""From packet bytes to an envelope in its place: what the outbox calls inside its transaction."""

from collections.abc import Callable, Sequence

from sync.edge.clock import HeadOfficeTime
from sync.edge.outbox_row import ChainPosition
from sync.envelope import VERSION, Header, seal
from sync.keys import Signer
from sync.recipients import Recipient


class Sealer:
    """Signs as this device and encrypts to head office; holds no way to read what it sealed."""

    def __init__(
        self, device_id: str, signer: Signer, recipients: Sequence[Recipient], head_office_time: HeadOfficeTime
    ) -> None:
        self._device_id, self._signer, self._recipients = device_id, signer, tuple(recipients)
        self._head_office_time = head_office_time

    @property
    def device_id(self) -> str:
        """Whose name is signed outside; what is sealed has to name the same inside."""
        return self._device_id

    def sealed(self, packet: bytes) -> Callable[[ChainPosition], bytes]:
        """What :meth:`sync.edge.outbox.Outbox.put` takes to seal ``packet``."""

        def into(position: ChainPosition) -> bytes:
            header = Header(
                VERSION,
                self._device_id,
                position.lane,
                position.epoch,
                position.seq,
                position.prev_hash,
                self._head_office_time.created(),
            )
            return seal(packet, header, self._signer, self._recipients)

        return into
