"""A scanned file: looked at, and kept encrypted until the member confirms. What it is, its content says."""

import hashlib
from dataclasses import replace
from typing import Final

from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import Attachment, ClaimDraft, Document
from mpos_agent.claim.findings import Block, Found
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.policy import Policy
from mpos_agent.claim.scanned import Scan, read_scan
from mpos_agent.claim.states import Event
from sync.packet import MAX_DOCUMENTS

FIELD: Final = "file"


def run(draft: ClaimDraft, counter: Counter, *, number: int, content: bytes) -> Happened:
    """Keep a file as number ``number`` of this claim, in place of what was kept there before.

    The boxes are written before the draft names them: cut off in between, they are erased when the next file comes.
    """
    others = [one for one in draft.attachments if one.number != number]
    before = next((one for one in draft.attachments if one.number == number), None)
    scan = checked(content, counter.policy, sum(one.size_bytes for one in others))
    if not 0 <= number < MAX_DOCUMENTS:
        scan = Block.DOCUMENT_NUMBER
    if isinstance(scan, Block):
        return Happened(event=None, draft=draft, act=Act.STEP_BLOCKED, facts={"blocks": 1}, found=(Found(scan, FIELD),))
    kept = Attachment(
        number=number,
        box=counter.documents.keep(draft.claim_id, draft.claim_id, scan.content),
        media_type=scan.media_type,
        pages=scan.pages,
        size_bytes=len(scan.content),
        sha256=hashlib.sha256(scan.content).hexdigest(),
        attached_at=counter.clock.now(),
    )
    return Happened(
        event=Event.DOCUMENT_ATTACHED,
        draft=replace(
            draft,
            attachments=tuple(sorted([*others, kept], key=lambda one: one.number)),
            documents=tuple(
                _instead(document, kept) if before and document.attachment == number else document
                for document in draft.documents
            ),
        ),
        act=Act.DOCUMENT_ATTACHED,
        facts={"document": number, "size": kept.size_bytes, "pages": kept.pages or 0},
        details={
            "number": number,
            "media_type": kept.media_type.value,
            "pages": kept.pages,
            "size_bytes": kept.size_bytes,
            "sha256": kept.sha256,
            "removed_bytes": len(content) - kept.size_bytes,
        },
    )


def checked(content: bytes, policy: Policy, others_bytes: int) -> Scan | Block:
    """The file, or what is wrong with it; ``others_bytes`` is what the claim's other files come to."""
    if len(content) > policy.document_bytes:
        return Block.DOCUMENT_TOO_LARGE
    scan = read_scan(content)
    if isinstance(scan, Block):
        return scan
    if scan.pages is not None and scan.pages > policy.document_pages:
        return Block.DOCUMENT_PAGES
    if others_bytes + len(scan.content) > policy.claim_documents_bytes:
        return Block.DOCUMENTS_TOO_LARGE
    return scan


def _instead(document: Document, kept: Attachment) -> Document:
    return replace(
        document,
        pages=kept.pages or document.pages,
        mime=kept.media_type.value,
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
    )
