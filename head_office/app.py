"""The HTTP end: three routes for devices, the desk for people, and errors in words.

Nothing here answers whether a person, a card number or a claim is known: what a device is told depends on its own
chain only, never on what others have sent.
"""

import logging
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from head_office.authenticity import refused
from head_office.desk.page import Desk
from head_office.device_registry import DeviceRegistry
from head_office.errors import CertificateRequiredError, HeadOfficeError, LedgerBrokenError
from head_office.ingest import Ingest
from head_office.keys.authority import Authority, KeyRequest
from head_office.keys.trust import trusted_at_enrolment
from head_office.renewal import Renewals
from head_office.requests_in import read_body
from head_office.server import peer_certificate
from sync import enrolment, renewal
from sync.checkpoint import MAX_BATCH_BYTES
from sync.enrolment import EnrolReply, ErrorReply
from sync.errors import WireError
from sync.keys import Signer
from sync.recipients import Recipient
from sync.trust import FIRST_SERIAL

log = logging.getLogger(__name__)

RETRY_AFTER_S = 30  # A full disk or a busy ledger is not put right in less.


class DeviceRoutes:
    """``/v1``: enrolment, sync and renewal, CBOR in and out."""

    def __init__(
        self,
        registry: DeviceRegistry,
        ingest: Ingest,
        authority: Authority,
        signer: Signer,
        recipients: list[Recipient],
        *,
        renewals: Renewals,
    ) -> None:
        self._registry, self._ingest = registry, ingest
        self._ca = authority.certificate.public_bytes(serialization.Encoding.DER)
        self._signer, self._recipients = signer, tuple(recipients)
        self._renewals = renewals

    def add_to(self, app: FastAPI) -> None:
        app.add_route("/v1/enrol", self.enrol, methods=["POST"])
        app.add_route("/v1/sync", self.sync, methods=["POST"])
        app.add_route(renewal.PATH, self.renew, methods=["POST"])

    async def enrol(self, request: Request) -> Response:
        body = await read_body(request, enrolment.MAX_MESSAGE_BYTES)
        return _cbor(await run_in_threadpool(self._enrol, body))

    def _enrol(self, body: bytes) -> bytes:
        try:
            asked = enrolment.decode_request(body)
        except WireError as error:
            raise refused(error) from error
        enrolled = self._registry.enrol(
            asked.token, asked.device_serial, KeyRequest.parse(asked.tls_csr), KeyRequest.parse(asked.signing_csr)
        )
        trusted = trusted_at_enrolment(self._signer, self._recipients)
        log.info("enrolled %s at %s", enrolled.device_id, enrolled.site.branch_code)
        return enrolment.encode(
            EnrolReply(
                device_id=enrolled.device_id,
                tls_certificate=enrolled.tls_certificate,
                signing_certificate=enrolled.signing_certificate,
                ca_certificate=self._ca,
                receipt_keys=trusted.receipt_keys,
                recipients=trusted.recipients,
                site=enrolled.site,
                # Left out where there was never another list: devices of before do not know the field.
                trust_serial=trusted.serial if trusted.serial > FIRST_SERIAL else None,
            )
        )

    async def sync(self, request: Request) -> Response:
        certificate = peer_certificate(request)
        if certificate is None:
            raise CertificateRequiredError("no client certificate")
        body = await read_body(request, MAX_BATCH_BYTES)
        return _cbor(await run_in_threadpool(self._ingest.receive, certificate, body))

    async def renew(self, request: Request) -> Response:
        certificate = peer_certificate(request)
        if certificate is None:
            raise CertificateRequiredError("no client certificate")
        body = await read_body(request, renewal.MAX_REQUEST_BYTES)
        return _cbor(await run_in_threadpool(self._renewals.renew, certificate, body))


def make_app(devices: DeviceRoutes, desk: Desk, on_broken: Callable[[], None]) -> FastAPI:
    """The application; ``on_broken`` is told when the ledger can no longer be trusted and the process must end."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    devices.add_to(app)
    desk.add_to(app)

    async def in_words(request: Request, error: Exception) -> Response:
        assert isinstance(error, HeadOfficeError)
        if isinstance(error, LedgerBrokenError):
            log.critical("the ledger is broken: %s", error)
            on_broken()
        else:
            log.warning("%s %s: %s: %s", request.method, request.url.path, error.code, error)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if error.status == 503 else {}
        body = enrolment.encode(ErrorReply(error=error.code, hint=error.hint))
        return Response(body, error.status, headers, enrolment.CONTENT_TYPE)

    app.add_exception_handler(HeadOfficeError, in_words)
    return app


def _cbor(body: bytes) -> Response:
    return Response(body, media_type=enrolment.CONTENT_TYPE)
