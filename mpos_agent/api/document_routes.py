"""Scanned files over the local API: their bytes are the request's body, read as they come and never more than allowed.

Names of files do not travel: what a file is, its content says.
"""

import re
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request

from mpos_agent.agent import Agent
from mpos_agent.api import replies
from mpos_agent.api.messages import ErrorBody, SentDocumentsReply, StepReply, SupplementReply
from mpos_agent.api.routes import AgentHere, ClaimId, Operator
from mpos_agent.claim.steps.supplement import Paper
from sync.packet import MAX_DOCUMENTS

_FILE = re.compile(r"/v1/claims/[0-9a-f-]{36}/(documents/\d{1,3}|supplements)")
DRAINED_BYTES = 64 * 1024 * 1024
"""A file that is too large is taken in and thrown away up to here, so that its sender hears why."""
AT_ONCE = 2
"""Files in memory at one time; each is held about three times while it is looked at."""

router = APIRouter(
    prefix="/v1/claims",
    responses={status: {"model": ErrorBody} for status in (401, 403, 404, 409, 413, 422, 500, 503)},
)


def file_limit(method: str, path: str) -> int | None:
    """How much of a body a route of this module reads by itself; None where it is not one of them."""
    return DRAINED_BYTES if method in ("PUT", "POST") and _FILE.fullmatch(path) else None


@router.put("/{claim_id}/documents/{number}")
async def attach(
    request: Request,
    agent: AgentHere,
    who: Operator,
    claim_id: ClaimId,
    number: Annotated[int, Path(ge=0, lt=MAX_DOCUMENTS)],
) -> StepReply:
    """Keep a scanned file (PDF, JPEG or PNG) as number ``number`` of an open claim; the body is the file.

    Then name the number as ``attachment`` in the list of documents.
    """
    async with request.app.state.files:
        content = await _content(request, agent)
        return replies.step(await to_thread.run_sync(agent.attach, claim_id, who, number, content))


@router.get("/{claim_id}/documents")
def sent(agent: AgentHere, _: Operator, claim_id: ClaimId) -> SentDocumentsReply:
    """The documents of a claim that was sent, and how many of their parts head office has signed for."""
    return SentDocumentsReply(documents=tuple(replies.sent_document(one) for one in agent.sent_documents(claim_id)))


@router.post("/{claim_id}/supplements")
async def supplement(
    request: Request,
    agent: AgentHere,
    who: Operator,
    claim_id: ClaimId,
    document_type: Annotated[str, Query(alias="type", pattern=r"^[A-Z0-9][A-Z0-9_]{0,31}$")],
    *,
    legible: bool = True,
    pages: Annotated[int | None, Query(ge=1, le=500)] = None,
) -> SupplementReply:
    """Add a document to a claim that was sent from this machine; the body is the file."""
    paper = Paper(type_code=document_type, legible=legible, pages=pages)
    async with request.app.state.files:
        content = await _content(request, agent)
        return replies.supplement(
            await to_thread.run_sync(lambda: agent.supplement(claim_id, who, paper=paper, content=content))
        )


async def _content(request: Request, agent: Agent) -> bytes:
    """The file; of one that is larger than allowed a byte more than that, which is enough to be refused for."""
    most = agent.document_limit + 1
    content = bytearray()
    async for chunk in request.stream():
        content += chunk[: most - len(content)]
    return bytes(content)


def slots() -> anyio.Semaphore:
    """For one application."""
    return anyio.Semaphore(AT_ONCE)
