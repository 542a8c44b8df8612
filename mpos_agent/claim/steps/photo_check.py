"""The operator compares the chip's photo with the person. The answer is evidence; it stops nothing."""

from dataclasses import replace

from mpos_agent.audit import Act
from mpos_agent.claim.draft import ClaimDraft
from mpos_agent.claim.findings import cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.states import Event
from mpos_agent.claim.steps.fallback import photo_findings
from sync.packet import PhotoCompare


def run(draft: ClaimDraft, *, answer: PhotoCompare, shown: bool) -> Happened:
    """Record the answer, and whether this device had shown the chip's photo: otherwise it was the printed one."""
    found = photo_findings(answer)
    return Happened(
        event=Event.PHOTO_COMPARED,
        draft=replace(draft, photo_check=answer, warnings=draft.with_warnings(*cautions(found))),
        act=Act.PHOTO_CHECKED,
        facts={"photo": answer, "photo_shown": shown},
        found=found,
    )
