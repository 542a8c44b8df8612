"""A settings file → Settings, or an error that says where and what to do."""

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.errors import ConfigError
from config.schema import Settings

# pydantic's own sentences name its types; these name what a person may write.
_SENTENCES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "model_type": "must be a section, [like_this]",
}


def default_settings() -> dict[str, Any]:
    """What ``defaults.toml`` says, as nested mappings."""
    return tomllib.loads(resources.files("config").joinpath("defaults.toml").read_text(encoding="utf-8"))


def load_settings(file: Path) -> Settings:
    """Read one site's file, lay it over the defaults and check all of it.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, has a key nobody knows (the nearest known one is offered), a
        value that is not allowed (what is allowed is said), or lacks one that a site must decide.
    """
    return settings_from(_read(file), file)


def settings_from(given: Mapping[str, Any], file: Path) -> Settings:
    """The same for settings that were read already; ``file`` names them in errors and anchors their paths."""
    _refuse_unknown(given, file)
    # Paths of the defaults are absolute; only what the site wrote is relative to the site's file.
    merged = _laid_over(default_settings(), given)
    try:
        return Settings.model_validate(merged, context={"folder": file.resolve().parent})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(file, key, _sentence(first), "docs/technician.md lists what each key allows") from error


def known_keys() -> dict[str, list[str]]:
    """Every key a site may write, by section; a section within another is named ``outer.inner``."""
    sections: dict[str, list[str]] = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        _collect(sections, name, field.annotation)
    return sections


def _collect(sections: dict[str, list[str]], name: str, section: type) -> None:
    assert issubclass(section, BaseModel)
    sections[name] = []
    for key, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            _collect(sections, f"{name}.{key}", field.annotation)
        else:
            sections[name].append(key)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(file, "", "there is no such file", "copy one of the examples there") from error
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read ({error.strerror})", "check its owner and mode") from error
    except UnicodeDecodeError as error:
        raise ConfigError(file, "", "is not UTF-8 text", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", f"is not valid TOML ({error})", "correct that line") from error


def _refuse_unknown(given: Mapping[str, Any], file: Path) -> None:
    known = known_keys()
    outermost = [section for section in known if "." not in section]
    for section, content in given.items():
        if section not in outermost:
            raise ConfigError(file, section, "no such section", _nearest(section, outermost, bracketed=True))
        _refuse_unknown_in(section, content, known, file)


def _refuse_unknown_in(section: str, content: Any, known: Mapping[str, list[str]], file: Path) -> None:
    if not isinstance(content, Mapping):
        raise ConfigError(file, section, "is a section, not a value", f"write [{section}] on a line of its own")
    for key, value in content.items():
        if f"{section}.{key}" in known:
            _refuse_unknown_in(f"{section}.{key}", value, known, file)
        elif key not in known[section]:
            cure = _in_another_section(key) or _nearest(key, known[section]) or "docs/technician.md lists every key"
            raise ConfigError(file, f"{section}.{key}", "no such key", cure)


def _nearest(name: str, known: list[str], *, bracketed: bool = False) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean [{near[0]}]?" if bracketed else f"did you mean {near[0]}?"
    return f"known are {', '.join(sorted(known))}" if bracketed else ""


def _in_another_section(key: str) -> str:
    # Outer sections first: they are what is written by hand.
    for section, keys in sorted(known_keys().items(), key=lambda known: known[0].count(".")):
        if key in keys:
            return f"it belongs under [{section}]"
    return ""


def _laid_over(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in given.items():
        inner = defaults.get(key)
        merged[key] = _laid_over(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _sentence(error: ErrorDetails) -> str:
    """One validation error in words; the value is shown, because settings hold no secrets, only paths to them."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "must be decided by the site, there is no default"
    shown = f"{error['input']!r} is not allowed: "
    match kind:
        case "enum":
            return shown + f"must be one of {context['expected']}"
        case "greater_than":
            return shown + f"must be more than {context['gt']}"
        case "greater_than_equal":
            return shown + f"must be at least {context['ge']}"
        case "less_than":
            return shown + f"must be less than {context['lt']}"
        case "less_than_equal":
            return shown + f"must be at most {context['le']}"
        case "value_error":
            return shown + str(context["error"])
    return shown + _SENTENCES.get(kind, error["msg"])
