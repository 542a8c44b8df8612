"""Scanners over the local API, for a technician: test one, measure one. No fingerprint leaves the agent."""

import base64

from fastapi import APIRouter, Request

from config.tables import Tables
from drivers.scanner.base import PlaceAgain
from mpos_agent.api import replies
from mpos_agent.api.messages import (
    AdviceReply,
    CalibratedReply,
    CalibrateRequest,
    ErrorBody,
    PreviewReply,
    ScannerTestReply,
    ScannerTestRequest,
)
from mpos_agent.api.routes import AgentHere, Technician
from mpos_agent.api.waiting import while_wanted
from mpos_agent.capture.trial import Trial

router = APIRouter(
    prefix="/v1/devices/scanner",
    responses={status: {"model": ErrorBody} for status in (401, 403, 409, 422, 500, 503)},
)


@router.post("/test")
async def test(request: Request, agent: AgentHere, _: Technician, body: ScannerTestRequest) -> ScannerTestReply:
    """Take a picture, judge it, show what may be shown; follow ``finger`` in ``/v1/events``."""
    trial = await while_wanted(
        request, lambda: agent.workshop.test(body.scanner, raw=body.raw), agent.stop_waiting_for_finger
    )
    return _tested(trial, agent.tables)


@router.post("/calibrate")
async def calibrate(request: Request, agent: AgentHere, _: Technician, body: CalibrateRequest) -> CalibratedReply:
    """Measure the resolution by the printed target on the glass, and keep it for this unit."""
    found = await while_wanted(
        request, lambda: agent.workshop.calibrate(body.scanner, body.pitch_mm), agent.stop_waiting_for_finger
    )
    if isinstance(found, PlaceAgain):
        return CalibratedReply(scanner=None, place_again=found.value)
    measured = found.measured
    return CalibratedReply(
        scanner=replies.scanner(found.scanner),
        place_again=None,
        dpi_x=measured.dpi_x,
        dpi_y=measured.dpi_y,
        error_x=measured.error_x,
        error_y=measured.error_y,
        turned_deg=measured.turned_deg,
    )


def _tested(trial: Trial, tables: Tables) -> ScannerTestReply:
    advice = [f"quality.{reason}" for reason in trial.reasons]
    preview = trial.preview
    return ScannerTestReply(
        scanner=replies.scanner(trial.scanner),
        place_again=trial.missed.value if trial.missed else None,
        width=trial.width,
        height=trial.height,
        dpi=trial.dpi,
        quality=trial.quality,
        reasons=tuple(
            AdviceReply(code=key.removeprefix("quality."), text_id=tables.text(key).id, text_en=tables.text(key).en)
            for key in advice
        ),
        preview=PreviewReply(
            width=preview.width, height=preview.height, greys=base64.b64encode(preview.greys).decode("ascii")
        )
        if preview
        else None,
    )
