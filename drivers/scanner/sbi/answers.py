"""From the bytes of an answer to values of a known shape. Pure; everything that comes in is foreign."""

import base64
import json
import re
from typing import Any, NoReturn, TypeGuard

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.protocol import SUCCESS

LONGEST_TEXT = 200
"""Names, times, versions: what is longer is none of them."""
_DIGITS_IN_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}", re.ASCII)

Node = dict[str, Any]


def parse(content: bytes | bytearray) -> Any:
    """One complete JSON value, then nothing but line ends. No key twice, no NaN."""
    # The library's errors hold the whole document, which may be a finger: they are left behind here.
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise WrongAnswerError(Refusal.NOT_JSON, "not UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except RecursionError:
        raise WrongAnswerError(Refusal.NOT_JSON, "nested too deeply") from None
    except json.JSONDecodeError as error:
        raise WrongAnswerError(Refusal.NOT_JSON, f"{error.msg} at {error.pos} of {len(text)}") from None
    except ValueError:
        # int() of a number with thousands of digits
        raise WrongAnswerError(Refusal.NOT_JSON, "a number beyond measure") from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> Node:
    node = dict(pairs)
    if len(node) != len(pairs):
        raise WrongAnswerError(Refusal.NOT_JSON, "a key twice")
    return node


def _no_constant(_word: str) -> NoReturn:
    raise WrongAnswerError(Refusal.NOT_JSON, "not a number")


def nodes(value: Any, key: str | None = None, most: int = 32) -> list[Node]:
    """A list of objects: ``value`` itself, or what it holds under ``key``."""
    if key is not None:
        value = value.get(key) if _is_node(value) else None
    if not isinstance(value, list) or len(value) > most or not all(_is_node(one) for one in value):
        raise WrongAnswerError(Refusal.SHAPE, f"{key or 'answer'} is no list of objects")
    return value


def node(value: Any, what: str) -> Node:
    """An object."""
    if not _is_node(value):
        raise WrongAnswerError(Refusal.SHAPE, f"{what} is no object")
    return value


def text(inside: Node, key: str, longest: int = LONGEST_TEXT) -> str:
    """A text that is there; empty is a text."""
    value = inside.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise WrongAnswerError(Refusal.SHAPE, f"{key} is no text")
    return value


def first_text(inside: Node, key: str) -> str:
    """The first of a list of texts, or the text where a service forgets the list."""
    value = inside.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise WrongAnswerError(Refusal.SHAPE, f"{key} is no list of texts")
    return value


def error_of(inside: Node) -> tuple[str, str] | None:
    """Code and words of the error node; None for success. The words are made fit for a log."""
    said = inside.get("error")
    if said is None:
        return None
    number = node(said, "error").get("errorCode")
    if number is None or number in ("", SUCCESS, 0):
        return None
    number = str(number)
    words = said.get("errorInfo")
    printable = "".join(one for one in words[:LONGEST_TEXT] if one.isprintable()) if isinstance(words, str) else ""
    return (number if _DIGITS_IN_CODE.fullmatch(number) else "unknown"), printable


def base64url(value: str, refusal: Refusal, what: str) -> bytes:
    """Decode base64url, padded or not; anything outside the alphabet is refused."""
    bare = value.rstrip("=")
    if not _BASE64URL.fullmatch(value) or len(bare) % 4 == 1:
        raise WrongAnswerError(refusal, f"{what} is not base64url")
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


def _is_node(value: Any) -> TypeGuard[Node]:
    return isinstance(value, dict)
