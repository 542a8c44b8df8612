"""The stick over the local API: bytes out and in. The agent opens no path that a caller names.

Who holds the stick may write on it; the agent, a user of its own in a sandbox, as a rule may not. And a caller that
could make the agent write into a folder of its choice could make it write anywhere.
"""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from mpos_agent.api.messages import ErrorBody, StickReceiptReply
from mpos_agent.api.routes import AgentHere, Anybody
from mpos_agent.errors import BadRequestError
from sync.edge.stick import ReceiptTaken, position_as_text, position_from_text
from sync.receipt import Verdict

FILE_TYPE = "application/octet-stream"
NAME, PACKETS, AFTER = "X-Stick-Name", "X-Stick-Packets", "X-Stick-After"

router = APIRouter(
    prefix="/v1/stick",
    responses={status: {"model": ErrorBody} for status in (401, 403, 409, 422, 500, 503)},
)


@router.post("/export", response_class=Response, responses={200: {"content": {FILE_TYPE: {}}}, 204: {}})
def export(agent: AgentHere, _: Anybody, after: Annotated[str, Query(max_length=80)] = "") -> Response:
    """The next file for a stick, its name, number of packets and the value for ``after`` in headers; 204 at the end."""
    try:
        position = position_from_text(after)
    except ValueError as error:
        raise BadRequestError(f"after: {error}") from error
    made = agent.next_stick_file(position)
    if made is None:
        return Response(status_code=204)
    told = {NAME: str(made.name), PACKETS: str(made.packets), AFTER: position_as_text(made.after)}
    return Response(made.body, headers=told, media_type=FILE_TYPE)


@router.post("/receipt")
async def receipt(request: Request, agent: AgentHere, _: Anybody) -> StickReceiptReply:
    """Take over one receipt that came back on a stick; the request's body is the receipt."""
    return _told(await to_thread.run_sync(agent.bring_receipt, await request.body()))


def _told(taken: ReceiptTaken) -> StickReceiptReply:
    if taken.answer is None:
        return StickReceiptReply(brought=taken.brought, accepted=0, held=0, refused=0, left=0)
    settlement = taken.answer.settlement
    held = sum(row.verdict is Verdict.QUARANTINED for row in settlement.acked)
    return StickReceiptReply(
        brought=taken.brought,
        accepted=len(settlement.acked) - held,
        held=held,
        refused=len(settlement.dead),
        left=len(settlement.left),
    )
