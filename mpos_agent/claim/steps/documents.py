"""Which papers were shown: type, pages, legible or not, the scanned file that goes with it. None has to be there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from config.tables import Requirement, Tables
from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import ClaimDraft, Document
from mpos_agent.claim.findings import Block, Caution, Found, blocks, cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.states import Event
from sync.packet import MAX_DOCUMENTS, IdentitySource

_FIELDS: Final = frozenset({"type", "pages", "attachment", "legible"})
_PAPER: Final = "application/pdf"
"""The packet names a kind of file even where only the paper was seen."""
MOST_PAGES: Final = 500
"""Of one document; more is a slip of the finger."""
_OURS: Final = frozenset({Caution.DOCUMENTS_MISSING, Caution.DOCUMENT_NOT_LEGIBLE})


def run(draft: ClaimDraft, counter: Counter, *, listed: Sequence[Mapping[str, Any]]) -> Happened:
    """Replace the list of documents. Each: ``type``, ``legible``, and ``attachment``, the number of its scanned file.

    Without ``attachment`` only the paper was seen; ``pages`` counts then, and where a file does not tell.
    """
    documents, found = [], []
    if len(listed) > MAX_DOCUMENTS:
        found.append(Found(Block.DOCUMENT_NUMBER, "documents"))
    for place, entry in enumerate(listed[:MAX_DOCUMENTS]):
        document = _document(entry, draft, counter.tables)
        if isinstance(document, Found):
            found.append(document.within(f"documents.{place}"))
            continue
        documents.append(document)
        if not document.legible:
            found.append(Found(Caution.DOCUMENT_NOT_LEGIBLE, f"documents.{place}"))
    if blocks(found):
        return Happened(
            event=None,
            draft=draft,
            act=Act.STEP_BLOCKED,
            facts={"blocks": len(blocks(found))},
            found=tuple(found),
        )
    missing = missing_types(draft, counter.tables, (document.type for document in documents))
    if missing:
        found.append(Found(Caution.DOCUMENTS_MISSING))
    kept = [word for word in draft.warnings if word not in _OURS]
    return Happened(
        event=Event.DOCUMENTS_LISTED,
        draft=replace(
            draft,
            documents=tuple(documents),
            missing_documents=missing,
            warnings=tuple(sorted({*kept, *cautions(found)})),
        ),
        act=Act.DOCUMENTS_LISTED,
        facts={"documents": len(documents), "missing": len(missing)},
        found=tuple(found),
        details={
            "missing": [
                {
                    "type": code,
                    "id": counter.tables.documents[code].name.id,
                    "en": counter.tables.documents[code].name.en,
                }
                for code in missing
            ]
        },
    )


def wanted(draft: ClaimDraft, tables: Tables) -> tuple[Requirement, ...]:
    """What this claim should show, mandatory or not."""
    manual = draft.identity_source is not IdentitySource.CHIP
    return tables.required(draft.reason_code, draft.segment, manual_identity=manual)


def missing_types(draft: ClaimDraft, tables: Tables, shown: Iterable[str]) -> tuple[str, ...]:
    """The first choice of every mandatory requirement that nothing shown satisfies."""
    there = set(shown)
    # The chip is the card: read, it needs no copy.
    if draft.identity_source is IdentitySource.CHIP:
        there.add("ID_CARD")
    missing = [
        item.any_of[0] for item in wanted(draft, tables) if item.mandatory and not there.intersection(item.any_of)
    ]
    return tuple(dict.fromkeys(missing))


def _document(entry: object, draft: ClaimDraft, tables: Tables) -> Document | Found:
    if not isinstance(entry, Mapping):
        return Found(Block.DOCUMENT_SHAPE)
    for name in entry:
        if name not in _FIELDS:
            return Found(Block.FIELD_UNKNOWN, str(name))
    kind, pages, legible = entry.get("type"), entry.get("pages", 1), entry.get("legible", True)
    number = entry.get("attachment")
    if not isinstance(kind, str) or kind not in tables.documents:
        return Found(Block.DOCUMENT_UNKNOWN, "type")
    if not _whole(pages, 1, MOST_PAGES):
        return Found(Block.DOCUMENT_SHAPE, "pages")
    if not isinstance(legible, bool):
        return Found(Block.DOCUMENT_SHAPE, "legible")
    if number is None:
        return Document(type=kind, pages=pages, mime=_PAPER, size_bytes=0, sha256=None, legible=legible)
    scan = next((one for one in draft.attachments if type(number) is int and one.number == number), None)
    if scan is None:
        return Found(Block.DOCUMENT_NOT_ATTACHED, "attachment")
    if scan.pages is None and "pages" not in entry:
        return Found(Block.DOCUMENT_PAGES_UNKNOWN, "pages")
    return Document(
        type=kind,
        pages=scan.pages or pages,
        mime=scan.media_type.value,
        size_bytes=scan.size_bytes,
        sha256=scan.sha256,
        legible=legible,
        attachment=scan.number,
    )


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
