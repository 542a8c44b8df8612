"""One function per route, each a call on the agent.

Plain functions run in worker threads; those that wait for a card or a finger also watch whether the caller is
still there, and end the wait when not.
"""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from mpos_agent.agent import Agent, ClaimWish
from mpos_agent.api import replies
from mpos_agent.api.callers import Caller, Scope
from mpos_agent.api.messages import (
    CallerReply,
    ConfirmRequest,
    ConsentRequest,
    DevicesReply,
    DocumentsRequest,
    EnrolReply,
    EnrolRequest,
    ErrorBody,
    FallbackRequest,
    FormRequest,
    GiveChipUpRequest,
    IdentityReply,
    IdentityRequest,
    NewEpochReply,
    NewEpochRequest,
    OpenClaimReply,
    OpenClaimsReply,
    OutboxReply,
    PassportRequest,
    PeopleReply,
    PersonReply,
    PersonRequest,
    PhotoCheckRequest,
    RenewRequest,
    SignInReply,
    SignInRequest,
    SlipReply,
    StartReply,
    StartRequest,
    StatusReply,
    StepReply,
    SyncReply,
    WithdrawRequest,
)
from mpos_agent.api.waiting import while_wanted
from mpos_agent.errors import CallerForbiddenError, NotEnrolledError, NotFoundError, NotSignedInError
from mpos_agent.events import Event
from mpos_agent.sign_in import SignedIn

# Silence on the event stream is filled, so that a proxy or a client does not take it for dead.
_KEEP_ALIVE_S = 15.0

router = APIRouter(
    prefix="/v1",
    responses={status: {"model": ErrorBody} for status in (401, 403, 409, 422, 500, 503)},
)


def _agent(request: Request) -> Agent:
    agent: Agent = request.app.state.agent
    return agent


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["state"]["caller"]
    return caller


def _only(*scopes: Scope) -> Callable[[Request], Caller]:
    """Lets the machine itself pass, and callers made for this."""

    def check(request: Request) -> Caller:
        caller = _caller(request)
        if caller.scope is not Scope.MACHINE and caller.scope not in scopes:
            raise CallerForbiddenError(f"{caller.name} is a {caller.scope.value} caller")
        return caller

    return check


def _operator(
    request: Request,
    caller: Annotated[Caller, Depends(_only(Scope.COUNTER))],
    x_operator: Annotated[str | None, Header(description="From /v1/sign-in.")] = None,
) -> SignedIn:
    if x_operator is None:
        raise NotSignedInError
    return _agent(request).sign_ins.who(x_operator, caller.name)


AgentHere = Annotated[Agent, Depends(_agent)]
Anybody = Annotated[Caller, Depends(_caller)]
Counter = Annotated[Caller, Depends(_only(Scope.COUNTER))]
Technician = Annotated[Caller, Depends(_only(Scope.TECHNICIAN))]
Machine = Annotated[Caller, Depends(_only())]
Operator = Annotated[SignedIn, Depends(_operator)]
ClaimId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]


# --- the machine ---


@router.get("/whoami")
def whoami(caller: Anybody) -> CallerReply:
    """Whose credential this is."""
    return CallerReply(name=caller.name, scope=caller.scope)


@router.get("/status")
def status(agent: AgentHere, _: Anybody) -> StatusReply:
    """Devices, queue, last round with head office."""
    return replies.status(agent)


@router.get("/devices")
def devices(agent: AgentHere, _: Anybody) -> DevicesReply:
    """Readers, SAM and scanners; opens none of them."""
    return replies.devices(agent.devices())


@router.get("/outbox")
def outbox(agent: AgentHere, _: Anybody, limit: Annotated[int, Query(ge=0, le=1000)] = 100) -> OutboxReply:
    """Waiting, accepted, refused with reason, oldest age."""
    return replies.outbox(agent, limit)


@router.post("/sync")
def sync(agent: AgentHere, _: Anybody) -> SyncReply:
    """Make a round with head office now, and tell what came of it."""
    return replies.last_round(agent.sync_now(), agent.now())


@router.post("/devices/sam/allow-try")
def allow_sam_try(agent: AgentHere, _: Technician) -> dict[str, bool]:
    """A technician's word that SAM and secrets file belong together now: the next claim may open the SAM."""
    agent.allow_sam_try()
    return {"allowed": True}


@router.post("/enrol")
def enrol(agent: AgentHere, _: Technician, body: EnrolRequest) -> EnrolReply:
    """Turn a one-time token into this device's identity."""
    site = agent.enrol(
        body.url,
        body.token.get_secret_value(),
        body.ca_pem,
        again=body.again,
        leave_waiting=body.leave_waiting,
    )
    return replies.enrolled(site)


@router.get("/identity")
def device_identity(agent: AgentHere, _: Anybody) -> IdentityReply:
    """Who this device is, where its keys are, when its certificates run out."""
    report = agent.identity()
    if report is None:
        raise NotEnrolledError
    return replies.identity(report)


@router.post("/outbox/new-epoch")
def new_epoch(agent: AgentHere, _: Technician, body: NewEpochRequest) -> NewEpochReply:
    """A technician's word that the reason a lane was frozen for is out of the way: it begins a new chain."""
    return replies.new_epoch(agent.new_epoch(body.lane))


@router.post("/identity/renew")
def renew(agent: AgentHere, _: Technician, body: RenewRequest) -> IdentityReply:
    """Renew the certificates now, with new keys if asked; what counted goes on to count when it fails."""
    return replies.identity(agent.renew_identity(new_keys=body.new_keys))


@router.get("/tables")
def tables(agent: AgentHere, _: Anybody) -> dict[str, Any]:
    """Programmes, reasons, documents, fallback codes and the consent notice, as texts and codes."""
    return replies.tables(agent.tables)


@router.get("/events", response_class=StreamingResponse)
async def events(
    request: Request, agent: AgentHere, _: Anybody, last_event_id: Annotated[int | None, Header()] = None
) -> StreamingResponse:
    """What happens, as server-sent events; send the last number as ``Last-Event-ID`` to get what was missed."""
    return StreamingResponse(_stream(agent, last_event_id), media_type="text/event-stream")


async def _stream(agent: Agent, after: int | None) -> AsyncIterator[str]:
    # The client knows by this first line that nothing will be missed from here on.
    yield ": listening\n\n"
    source = agent.events.read(after)
    pending = asyncio.ensure_future(anext(source, None))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=_KEEP_ALIVE_S)
            if not done:
                yield ": still here\n\n"
                continue
            event = pending.result()
            if event is None:
                return
            yield _as_sse(event)
            pending = asyncio.ensure_future(anext(source, None))
    finally:
        pending.cancel()


def _as_sse(event: Event) -> str:
    body = json.dumps({"number": event.number, "kind": event.kind.value, **event.facts}, ensure_ascii=False)
    return f"id: {event.number}\nevent: {event.kind.value}\ndata: {body}\n\n"


# --- people ---


@router.get("/people")
def people(agent: AgentHere, _: Machine) -> PeopleReply:
    """Everybody who may sign in."""
    return PeopleReply(people=tuple(replies.person(one) for one in agent.people.everybody()))


@router.post("/people")
def add_person(agent: AgentHere, _: Machine, body: PersonRequest) -> PersonReply:
    """Add somebody, or give them a new PIN."""
    return replies.person(agent.add_person(body.person_id, body.pin.get_secret_value(), body.roles, body.name))


@router.post("/people/{person_id}/remove")
def remove_person(agent: AgentHere, _: Machine, person_id: str) -> PersonReply:
    """Somebody no longer works here; their claims and the record of them stay."""
    return replies.person(agent.remove_person(person_id))


@router.post("/sign-in")
def sign_in(agent: AgentHere, caller: Counter, body: SignInRequest) -> SignInReply:
    """Check a PIN; the answer's token goes with every request about a claim."""
    token, person = agent.sign_in(body.person_id, body.pin.get_secret_value(), caller.name)
    return replies.signed_in(token, person, agent.sign_ins.idle_s)


@router.post("/sign-out")
def sign_out(agent: AgentHere, who: Operator, x_operator: Annotated[str, Header()]) -> dict[str, bool]:
    """Forget the sign-in."""
    agent.sign_out(x_operator, who)
    return {"signed_out": True}


# --- a claim, step by step ---


@router.get("/claims")
def open_claims(agent: AgentHere, _: Operator) -> OpenClaimsReply:
    """Claims that were begun and not finished."""
    return OpenClaimsReply(claims=tuple(OpenClaimReply(**dataclasses.asdict(one)) for one in agent.open_claims()))


@router.post("/claims")
def start(agent: AgentHere, who: Operator, body: StartRequest) -> StartReply:
    """Open a claim."""
    return replies.started(agent.start_claim(who, ClaimWish(**dict(body))))


@router.get("/claims/{claim_id}")
def view(agent: AgentHere, who: Operator, claim_id: ClaimId) -> dict[str, Any]:
    """Where a claim stands and what is next; identity number masked, nothing biometric."""
    return agent.claim(claim_id, who, supervisor_may=True).view()


@router.get("/claims/{claim_id}/summary")
def summary(agent: AgentHere, who: Operator, claim_id: ClaimId) -> dict[str, Any]:
    """What is read back to the member before confirming."""
    return agent.claim(claim_id, who).summary()


@router.get("/claims/{claim_id}/photo", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def photo(agent: AgentHere, who: Operator, claim_id: ClaimId) -> Response:
    """The photo of the chip, for comparing it with the person."""
    picture = agent.claim(claim_id, who).photo()
    if picture is None:
        raise NotFoundError("this claim has no photo")
    return Response(picture, media_type="image/jpeg")


@router.get("/claims/{claim_id}/slip")
def slip(agent: AgentHere, _: Operator, claim_id: ClaimId) -> SlipReply:
    """The slip of a queued claim, for printing again, with the receipt once there is one."""
    return replies.slip(*agent.slip(claim_id), agent)


@router.post("/claims/{claim_id}/consent")
def consent(agent: AgentHere, who: Operator, claim_id: ClaimId, body: ConsentRequest) -> StepReply:
    """Record the member's answer to the notice."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.consent(given=body.given, method=body.method)))


@router.post("/claims/{claim_id}/card")
async def card(request: Request, agent: AgentHere, who: Operator, claim_id: ClaimId) -> StepReply:
    """Wait for the member's card and read it; follow ``card_progress`` in ``/v1/events``."""
    return replies.step(
        await while_wanted(request, lambda: agent.read_card(claim_id, who), agent.stop_waiting_for_card)
    )


@router.post("/claims/{claim_id}/give-chip-up")
def give_chip_up(agent: AgentHere, who: Operator, claim_id: ClaimId, body: GiveChipUpRequest) -> StepReply:
    """Go on without the chip."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.give_chip_up(body.code)))


@router.post("/claims/{claim_id}/identity")
def identity(agent: AgentHere, who: Operator, claim_id: ClaimId, body: IdentityRequest) -> StepReply:
    """Identity from papers; a second person follows."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.identity_by_hand(body.source, body.fields)))


@router.post("/claims/{claim_id}/passport")
async def passport(
    request: Request, agent: AgentHere, who: Operator, claim_id: ClaimId, body: PassportRequest
) -> StepReply:
    """Wait for the passport of a person without e-KTP and read it; a second person follows."""
    fields = body.model_dump(exclude_none=True)
    return replies.step(
        await while_wanted(request, lambda: agent.read_passport(claim_id, who, fields), agent.stop_waiting_for_card)
    )


@router.post("/claims/{claim_id}/finger")
async def finger(request: Request, agent: AgentHere, who: Operator, claim_id: ClaimId) -> StepReply:
    """One attempt with the finger the prompt names; follow ``finger`` in ``/v1/events``."""
    return replies.step(
        await while_wanted(request, lambda: agent.capture_finger(claim_id, who), agent.stop_waiting_for_finger)
    )


@router.post("/claims/{claim_id}/fallback")
def fallback(agent: AgentHere, who: Operator, claim_id: ClaimId, body: FallbackRequest) -> StepReply:
    """A second person countersigns a coded reason."""
    return replies.step(
        agent.step(
            claim_id,
            who,
            lambda claim: claim.fallback(
                code=body.code,
                reason=body.reason,
                supervisor_id=body.supervisor_id,
                pin=body.pin.get_secret_value(),
                photo_compare=body.photo_compare,
            ),
        )
    )


@router.post("/claims/{claim_id}/photo-check")
def photo_check(agent: AgentHere, who: Operator, claim_id: ClaimId, body: PhotoCheckRequest) -> StepReply:
    """The operator's comparison of the chip photo with the person."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.photo_check(body.result)))


@router.post("/claims/{claim_id}/documents")
def documents(agent: AgentHere, who: Operator, claim_id: ClaimId, body: DocumentsRequest) -> StepReply:
    """List the documents that were shown; replaces an earlier list."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.documents(body.documents)))


@router.post("/claims/{claim_id}/form")
def form(agent: AgentHere, who: Operator, claim_id: ClaimId, body: FormRequest) -> StepReply:
    """Fill in the claim form; replaces an earlier one."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.form(body.fields)))


@router.post("/claims/{claim_id}/confirm")
def confirm(agent: AgentHere, who: Operator, claim_id: ClaimId, body: ConfirmRequest) -> StepReply:
    """Seal and queue; the slip is in ``details``. "Done" is told only after the packet is on disk."""
    return replies.step(
        agent.confirm(claim_id, who, member_confirms=body.member_confirms, declaration=body.declaration)
    )


@router.post("/claims/{claim_id}/withdraw")
def withdraw(agent: AgentHere, who: Operator, claim_id: ClaimId, body: WithdrawRequest) -> StepReply:
    """The member takes the claim back; its data are erased from this machine."""
    return replies.step(agent.step(claim_id, who, lambda claim: claim.withdraw(body.reason), supervisor_may=True))
