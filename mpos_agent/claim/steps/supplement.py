"""A document that is added to a claim already on its way: the same checks, the same lane, an index of its own."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.document_store import Promised
from mpos_agent.claim.errors import NotNowError
from mpos_agent.claim.findings import Block, Found
from mpos_agent.claim.steps import attach, documents
from mpos_agent.errors import FormerEnrolmentError, NotFoundError
from sync.document_part import FIRST_SUPPLEMENT, MAX_SUPPLEMENTS, part_count
from sync.edge.outbox_row import RowState
from sync.records import milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the operator says of it."""

    type_code: str
    legible: bool
    pages: int | None = None
    """Counts only where the file does not tell."""


def run(
    counter: Counter, *, claim_id: str, operator_id: str, paper: Paper, content: bytes
) -> tuple[Found, ...] | dict[str, Any]:
    """Keep and promise one more document of a claim; gives what blocks, or the facts of what will be sent.

    The same file added twice is sent once. Raises NotFoundError where this machine does not know the claim,
    NotNowError where head office did not take it, FormerEnrolmentError where the machine was another device then.
    """
    row, captured, site = counter.claim_row(UUID(claim_id)), counter.store.captured(claim_id), counter.site()
    if row is None or captured is None:
        raise NotFoundError(f"this machine has not sent a claim {claim_id}")
    if site is not None and captured.slip["device_id"] != site.device_id:
        raise FormerEnrolmentError(f"made as {captured.slip['device_id']}")
    if row is RowState.DEAD:
        raise NotNowError("supplement", "refused by head office")
    store = counter.documents
    before = [one for one in store.sent(claim_id) if one.index >= FIRST_SUPPLEMENT]
    scan = attach.checked(content, counter.policy, sum(one.size_bytes for one in before))
    if paper.type_code not in counter.tables.documents:
        return (Found(Block.DOCUMENT_UNKNOWN, "type"),)
    if len(before) >= MAX_SUPPLEMENTS:
        return (Found(Block.SUPPLEMENTS_FULL, attach.FIELD),)
    if isinstance(scan, Block):
        return (Found(scan, attach.FIELD),)
    pages = scan.pages or paper.pages
    if pages is None:
        return (Found(Block.DOCUMENT_PAGES_UNKNOWN, "pages"),)
    if not 1 <= pages <= documents.MOST_PAGES:
        return (Found(Block.DOCUMENT_SHAPE, "pages"),)
    digest = hashlib.sha256(scan.content).hexdigest()
    facts = {
        "type": paper.type_code,
        "media_type": scan.media_type.value,
        "pages": pages,
        "size_bytes": len(scan.content),
        "sha256": digest,
        "parts": part_count(len(scan.content)),
    }
    same = next((one for one in before if (one.type_code, one.sha256) == (paper.type_code, digest)), None)
    if same is not None:
        return {**facts, "index": same.index, "again": True}
    set_id = store.new_set()
    box = store.keep(set_id, claim_id, scan.content)
    with counter.store.transaction():
        index = store.next_supplement(claim_id)
        store.promise(
            set_id,
            claim_id,
            [
                Promised(
                    index=index,
                    box=box,
                    type_code=paper.type_code,
                    media_type=scan.media_type,
                    pages=pages,
                    legible=paper.legible,
                    operator_id=operator_id,
                    attached_at_ms=milliseconds(counter.clock.now()),
                    size_bytes=len(scan.content),
                    sha256=digest,
                )
            ],
        )
        counter.audit.record(
            Act.SUPPLEMENTED,
            claim_id=claim_id,
            person_id=operator_id,
            document=index,
            size=len(scan.content),
            pages=pages,
        )
    return {**facts, "index": index, "again": False}
