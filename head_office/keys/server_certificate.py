"""The TLS server's own certificate: how long it lives, renewing it, and serving the new one without a restart.

The key stays: so one file changes, in one step, and whatever moment the machine stops at, key and certificate fit.
"""

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from head_office.errors import HomeError
from head_office.keys.authority import Authority
from head_office.keys.home import Home, read_private, read_public, replace_public

log = logging.getLogger(__name__)

WARN_BEFORE = timedelta(days=30)
RENEW = "mpos-head-office keys renew-server"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What devices see when they connect."""

    names: tuple[str, ...]
    until: datetime

    def warning(self, now: datetime) -> str | None:
        """What to do about it soon; None while there is time."""
        if now < self.until - WARN_BEFORE:
            return None
        ended = "ended" if self.until <= now else "ends"
        return f"the TLS certificate {ended} on {self.until:%Y-%m-%d}, and no device connects after that: {RENEW}"


def present(home: Home) -> ServerCertificate:
    """The certificate in the folder. Raises HomeError."""
    try:
        certificate = x509.load_pem_x509_certificate(read_public(home.server_certificate))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.InvalidVersion) as error:
        raise HomeError(f"{home.server_certificate} is damaged", "restore it from the backup") from error
    return ServerCertificate(tuple(str(name.value) for name in names), certificate.not_valid_after_utc)


def renew(home: Home, names: Sequence[str], now: datetime) -> ServerCertificate:
    """A new certificate of the same authority for the same key; without ``names`` for the names of the present one."""
    try:
        key = serialization.load_pem_private_key(read_private(home.server_key), None)
    except ValueError as error:
        raise HomeError(f"{home.server_key} is damaged", "restore it from the backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise HomeError(f"{home.server_key} is not a P-256 key", "restore it from the backup")
    named = list(names) or list(present(home).names)
    certificate = Authority.load(home).certify_server(named, key.public_key(), now)
    replace_public(home.server_certificate, certificate.public_bytes(serialization.Encoding.PEM))
    return present(home)


class Served:
    """Keeps a listener's TLS context at the certificate in the folder; connections that are open keep theirs."""

    def __init__(self, home: Home, context: ssl.SSLContext | None) -> None:
        """Without a ``context`` a proxy serves the certificate, and only :meth:`remind` does something."""
        self._home, self._context = home, context
        self._mark = self._now_there()

    def refresh(self) -> bool:
        """Load the certificate if its file is another one than before; whether it was. The old one serves on if not."""
        mark = self._now_there()
        if self._context is None or mark is None or mark == self._mark:
            return False
        self._mark = mark
        try:
            # Tried apart first: a certificate of another key would leave the listener without any.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self._context):
                context.load_cert_chain(self._home.server_certificate, self._home.server_key)
        except (OSError, ssl.SSLError) as error:
            log.warning("the new TLS certificate does not load, the old one serves on: %s", error)
            return False
        log.info("the TLS certificate was renewed; it ends on %s", f"{present(self._home).until:%Y-%m-%d}")
        return True

    def remind(self, now: datetime) -> None:
        """Say in the log that the certificate ends, if that is soon."""
        try:
            warning = present(self._home).warning(now)
        except HomeError as error:
            warning = str(error)
        if warning is not None:
            log.warning("%s", warning)

    def _now_there(self) -> tuple[int, int] | None:
        try:
            status = self._home.server_certificate.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
