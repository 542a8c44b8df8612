"""The local API as an application: routes, errors as sentences, and the gate around all of it."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from config.errors import ConfigError
from drivers.errors import DeviceError
from matcher.errors import MatcherError
from mpos_agent import __version__
from mpos_agent.agent import Agent
from mpos_agent.api import device_routes, document_routes, stick_routes
from mpos_agent.api.callers import Callers
from mpos_agent.api.gate import Asgi, Gate
from mpos_agent.api.routes import router
from mpos_agent.errors import AgentError, BadRequestError, NotFoundError
from mpos_agent.log import happening
from mpos_agent.outcomes import Outcome, outcome_of
from sync.errors import SyncError

_log = logging.getLogger(__name__)

_ROOTS = (AgentError, ConfigError, DeviceError, MatcherError, SyncError)

OPENAPI_PATH = "/v1/openapi.json"
_TOO_LARGE = 413


def application(agent: Agent, callers: Callers, *, port: int, limit_bytes: int) -> Asgi:
    """The whole local API behind its gate. The interactive pages of FastAPI are off: they load foreign scripts."""
    app = FastAPI(
        title="mpos-agent local API",
        version=__version__,
        description="Claims at this counter. Every request carries `Authorization: Bearer TOKEN` of a caller made "
        "with `mpos-agent caller add`; claims also carry `X-Operator` of a sign-in.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
    )
    app.state.agent = agent
    app.include_router(router)
    app.state.files = document_routes.slots()
    app.include_router(document_routes.router)
    app.include_router(stick_routes.router)
    app.include_router(device_routes.router)
    for root in _ROOTS:
        app.add_exception_handler(root, _known)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(Exception, _our_bug)
    return Gate(
        app,
        callers=callers,
        port=port,
        limit_bytes=limit_bytes,
        open_paths=frozenset({OPENAPI_PATH}),
        streamed=document_routes.file_limit,
        refuse=lambda error: _reply(outcome_of(error)),
    )


def _reply(outcome: Outcome) -> JSONResponse:
    # Of a body that is too large the rest is not waited for.
    headers = {"Connection": "close"} if outcome.status == _TOO_LARGE else {}
    return JSONResponse(outcome.as_json(), status_code=outcome.status, headers=headers)


async def _known(request: Request, error: Exception) -> JSONResponse:
    outcome = outcome_of(error)
    happening(_log, logging.INFO, "refused", code=outcome.code, route=_route(request), status=outcome.status)
    return _reply(outcome)


async def _misshapen(request: Request, error: Exception) -> JSONResponse:
    """Name the fields, never the values: they may be a person's."""
    assert isinstance(error, RequestValidationError)
    fields = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['type']}" for one in error.errors())
    return _reply(outcome_of(BadRequestError(fields)))


async def _no_such_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known: AgentError = NotFoundError("no such address")
    if error.status_code != 404:
        known = BadRequestError("this address does not take that method or body")
    return _reply(outcome_of(known))


async def _our_bug(request: Request, error: Exception) -> JSONResponse:
    """The traceback goes to the log (uvicorn writes it); the caller learns only that it was our fault."""
    happening(_log, logging.ERROR, "bug", route=_route(request), kind=type(error).__name__)
    return _reply(outcome_of(error))


def _route(request: Request) -> str:
    route = request.scope.get("route")
    # Braces of a path template are not words for the log.
    return str(getattr(route, "path", "-")).replace("{", ":").replace("}", "")
