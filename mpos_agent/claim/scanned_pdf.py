"""A PDF (ISO 32000) as far as it must be known: whole, readable without a password, passive, how many pages; pure.

No page is drawn. The page count is the one the document's own root names; where that cannot be followed nobody
guesses, and a person says it.
"""

import re
import zlib
from collections.abc import Iterator

from mpos_agent.claim.findings import Block

_HEADER_WITHIN, _END_WITHIN = 1024, 2048
"""Readers look this far for a header and an end: other programs leave bytes before and behind."""
_MOST_UNFOLDED = 32 * 1024 * 1024
"""Of all object streams together; a real one has kilobytes."""
_MOST_PAGES = 100_000

_TOKEN = re.compile(rb"(?<!\d)(\d{1,10})\s{1,9}\d{1,5}\s{1,9}obj\b|\bendobj\b|\bstream\r?\n|\bendstream\b")
_LOCKED = re.compile(rb"/Encrypt\s{0,9}(?:<<|\d{1,10}\s{1,9}\d{1,5}\s{1,9}R)")
_ACTIVE = re.compile(rb"/(?:JavaScript|Launch|EmbeddedFiles?|RichMedia)\b")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_CATALOGUE = re.compile(rb"/Type\s{0,9}/Catalog\b")
_PAGES = re.compile(rb"/Pages\s{1,9}(\d{1,10})\s{1,9}\d{1,5}\s{1,9}R")
_COUNT = re.compile(rb"/Count\s{1,9}(\d{1,6})\b")
_PACKED = re.compile(rb"/Type\s{0,9}/ObjStm\b")
_FIRST, _NUMBER = re.compile(rb"/First\s{1,9}(\d{1,9})"), re.compile(rb"/N\s{1,9}(\d{1,6})")


def begins(content: bytes) -> bool:
    """Whether it calls itself a PDF."""
    return b"%PDF-" in content[:_HEADER_WITHIN]


def trouble(pdf: bytes) -> Block | None:
    """What keeps it from being read by a person at head office; None when nothing does."""
    if b"%%EOF" not in pdf[-_END_WITHIN:] or b"startxref" not in pdf[-_END_WITHIN:]:
        return Block.DOCUMENT_DAMAGED
    if _LOCKED.search(pdf):
        return Block.DOCUMENT_LOCKED
    for dictionary in _objects(pdf):
        # A name may be written with escapes: #4a is J.
        if _ACTIVE.search(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), dictionary[1])):
            return Block.DOCUMENT_ACTIVE
    return None


def page_count(pdf: bytes) -> int | None:
    """As the root of its page tree says; None when that cannot be followed."""
    # Later definitions of an object replace earlier ones.
    objects = dict(_objects(pdf))
    roots = [dictionary for dictionary in objects.values() if _CATALOGUE.search(dictionary)]
    tree = _PAGES.search(roots[-1]) if roots else None
    count = _COUNT.search(objects.get(int(tree[1]), b"")) if tree else None
    return int(count[1]) if count and 1 <= int(count[1]) <= _MOST_PAGES else None


def _objects(pdf: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and dictionary of each object, packed ones included, in the order of the file."""
    number, began, left = None, 0, _MOST_UNFOLDED
    packed: bytes | None = None
    for token in _TOKEN.finditer(pdf):
        word = token[0]
        if token[1] is not None:
            number, began = int(token[1]), token.end()
        elif word == b"endobj" and number is not None:
            yield number, pdf[began : token.start()]
            number = None
        elif word.startswith(b"stream") and number is not None:
            dictionary = pdf[began : token.start()]
            yield number, dictionary
            packed, number, began = (dictionary if _PACKED.search(dictionary) else None), None, token.end()
        elif word == b"endstream" and packed is not None:
            unfolded = _unfolded(pdf[began : token.start()], left)
            left -= len(unfolded)
            yield from _unpacked(packed, unfolded)
            packed = None


def _unfolded(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, max(1, most))
    except zlib.error:
        return b""


def _unpacked(dictionary: bytes, content: bytes) -> Iterator[tuple[int, bytes]]:
    first, count = _FIRST.search(dictionary), _NUMBER.search(dictionary)
    if first is None or count is None:
        return
    begin = int(first[1])
    words = content[:begin].split()[: 2 * int(count[1])]
    if len(words) % 2 or not all(word.isdigit() and len(word) < 11 for word in words):
        return
    pairs = [(int(words[at]), begin + int(words[at + 1])) for at in range(0, len(words), 2)]
    if pairs != sorted(pairs, key=lambda pair: pair[1]):
        # Pieces that overlap could come to more than the whole.
        return
    for place, (number, at) in enumerate(pairs):
        yield number, content[at : pairs[place + 1][1] if place + 1 < len(pairs) else len(content)]
