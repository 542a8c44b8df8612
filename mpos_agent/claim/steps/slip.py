"""What is printed for the member: local reference, time, place, what happens next. No identity number, no balance."""

import datetime
from typing import Final

from config.tables import Tables, Text
from mpos_agent.claim.counter import HOURS_AHEAD, Site
from mpos_agent.claim.draft import ClaimDraft
from mpos_agent.claim.happened import Slip
from sync.packet import TimeZone

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MEI", "JUN", "JUL", "AGU", "SEP", "OKT", "NOV", "DES")
# Without I, L, O and U: nothing that is misread aloud over the telephone.
_SYMBOLS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def reference_of(claim_id: str) -> str:
    """A short name of the claim for people, out of the random part of its id: ``7K3M-92QX``."""
    number = int(claim_id.replace("-", ""), 16)
    letters = "".join(_SYMBOLS[(number >> (5 * place)) & 31] for place in reversed(range(8)))
    return f"{letters[:4]}-{letters[4:]}"


def local_time(moment: datetime.datetime, zone: TimeZone) -> str:
    """``04-APR-2026 10:15 WIB``."""
    local = moment.astimezone(datetime.timezone(datetime.timedelta(hours=HOURS_AHEAD[zone])))
    return f"{local.day:02d}-{_MONTHS[local.month - 1]}-{local.year} {local:%H:%M} {zone.value}"


def slip_of(draft: ClaimDraft, site: Site, tables: Tables, at: datetime.datetime) -> Slip:
    """The slip of a claim that is being sealed."""
    programme = tables.programmes[draft.programme]
    days = programme.paid_within_working_days
    clock = tables.text("slip.CLOCK", days=days) if days else Text(id="", en="")
    sentence = tables.texts["slip.NEXT"]
    following = Text(id=sentence.id.format(clock=clock.id), en=sentence.en.format(clock=clock.en))
    missing = tuple(tables.documents[code].name for code in draft.missing_documents)
    if missing:
        still = tables.texts["slip.INCOMPLETE"]
        following = Text(
            id=still.id.format(documents=", ".join(name.id for name in missing)) + following.id,
            en=still.en.format(documents=", ".join(name.en for name in missing)) + following.en,
        )
    return Slip(
        reference=reference_of(draft.claim_id),
        captured_at=local_time(at, site.zone),
        device_id=site.device_id,
        branch_code=site.branch_code,
        station=site.station,
        programme=programme.name,
        next=following,
        missing_documents=missing,
    )
