"""A settings file is read once, at start; whatever is wrong in it is said in words a technician can act on."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from config.load import default_settings, known_keys, load_settings
from config.schema import Settings
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "config").glob("example-*.toml"))


def written(folder: Path, text: str) -> Path:
    """A settings file with this content."""
    file = folder / "agent.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(folder: Path, text: str) -> ConfigError:
    """The error that this content brings."""
    with pytest.raises(ConfigError) as caught:
        load_settings(written(folder, text))
    assert caught.value.file == str(folder / "agent.toml")
    return caught.value


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    """A device that has nothing of its own to say runs, so that it can be enrolled."""
    settings = load_settings(written(tmp_path, ""))
    assert settings.api.port == 8765
    assert settings.api_socket == Path("/run/mpos-agent/agent.sock")
    assert settings.card.slot_switch is None
    assert settings.upload.url is None


def test_defaults_name_every_key_and_only_those() -> None:
    """A technician finds each key of the program in defaults.toml."""

    def keys_of(section: str, content: dict[str, Any]) -> dict[str, list[str]]:
        inner = {f"{section}.{key}": value for key, value in content.items() if isinstance(value, dict)}
        own = {section: sorted(key for key, value in content.items() if not isinstance(value, dict))}
        return own | {name: keys for part in inner for name, keys in keys_of(part, inner[part]).items()}

    defaults = {name: keys for part in default_settings().items() for name, keys in keys_of(*part).items()}
    assert defaults == {section: sorted(keys) for section, keys in known_keys().items()}


def test_every_key_of_the_defaults_has_a_comment_above_it() -> None:
    """No key without a word on what it is for; several of one purpose may share a comment."""
    previous = ""
    for line in (ROOT / "config" / "defaults.toml").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            assert previous, f"no comment above: {line}"
            assert not previous.startswith("["), f"no comment above: {line}"
        previous = line


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_load(file: Path) -> None:
    """What a site copies works as it stands, and changes something."""
    assert isinstance(load_settings(file), Settings)
    assert tomllib.loads(file.read_text(encoding="utf-8"))["site"]["station"]


def test_there_is_an_example_for_each_kind_of_site() -> None:
    """Branch, partner and field laptop each have one."""
    assert [file.stem for file in EXAMPLES] == ["example-branch", "example-field", "example-partner"]


@pytest.mark.parametrize(
    ("text", "key", "cure"),
    [
        ("[upload]\npoll_sec = 5", "upload.poll_sec", "did you mean poll_s?"),
        ("[uplod]\n", "uplod", "did you mean [upload]?"),
        ("[card]\nport = 5", "card.port", "it belongs under [api]"),
        ("[card]\nxyzzy = 5", "card.xyzzy", "docs/technician.md lists every key"),
        ("api = 5", "api", "write [api] on a line of its own"),
        ("[scanner]\nuvc = 5", "scanner.uvc", "write [scanner.uvc] on a line of its own"),
        ("[scanner.zfm]\nprt = 5", "scanner.zfm.prt", "did you mean port?"),
        ("[scanner.zfm]\nroots_dir = 5", "scanner.zfm.roots_dir", "it belongs under [scanner.sbi]"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_nearest_one(tmp_path: Path, text: str, key: str, cure: str) -> None:
    """A typing error is never a setting that silently does nothing."""
    error = refused(tmp_path, text)
    assert (error.key, error.cure) == (key, cure)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[card]\ntransport = 'usb'", "card.transport", "must be one of 'pcsc' or 'socket'"),
        ("[upload]\nurl = 'http://x'", "upload.url", "must begin with https://"),
        ("[upload]\npoll_s = 0", "upload.poll_s", "must be at least 1"),
        ("[upload]\npoll_s = 'often'", "upload.poll_s", "must be a number"),
        ("[api]\nport = 99999", "api.port", "must be at most 65535"),
        ("[api]\nsocket_mode = '0666'", "api.socket_mode", "others out"),
        ("[api]\nsocket_mode = 660", "api.socket_mode", "in quotes"),
        ("[claim]\nsend_chip_photo = 'perhaps'", "claim.send_chip_photo", "must be true or false"),
        ("[card]\nslot_switch = 99", "card.slot_switch", "must be at most 2"),
        ("[agent]\nstate_dir = 5", "agent.state_dir", "must be a path in quotes"),
        ("[scanner]\ndriver = 'usb'", "scanner.driver", "must be one of 'auto'"),
        ("[scanner.sbi]\nlast_port = 4500", "scanner.sbi.last_port", "must be at least first_port"),
    ],
)
def test_a_value_that_is_not_allowed_says_what_is(tmp_path: Path, text: str, key: str, said: str) -> None:
    """The sentence names file, key, the value found and what may stand there."""
    error = refused(tmp_path, text)
    assert error.key == key
    assert said in error.cause
    assert str(tmp_path) in str(error)


@pytest.mark.parametrize(
    ("content", "said"), [(b"[api\n", "is not valid TOML"), (b"\xff\xfe", "is not UTF-8 text"), (None, "no such file")]
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, said: str) -> None:
    """Missing, broken and wrongly saved files each have their own sentence."""
    file = tmp_path / "agent.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_settings(file)


def test_relative_paths_start_at_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file means the same thing wherever the agent is started from."""
    file = written(tmp_path, "[agent]\nstate_dir = 'state'\nrun_dir = '/run/x'\n[scanner]\nsocket = 'glass.sock'")
    monkeypatch.chdir("/")
    settings = load_settings(file)
    assert settings.database_file == tmp_path / "state" / "agent.db"
    assert settings.agent.run_dir == Path("/run/x")
    assert settings.scanner.socket == tmp_path / "glass.sock"


def test_one_key_of_an_inner_section_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    """Naming the first port of device services does not lose the default of the last."""
    settings = load_settings(written(tmp_path, "[scanner.sbi]\nfirst_port = 4550\nroots_dir = 'roots'"))
    assert (settings.scanner.sbi.first_port, settings.scanner.sbi.last_port) == (4550, 4600)
    assert settings.scanner.sbi.roots_dir == tmp_path / "roots"
    assert settings.scanner.zfm.port is None


def test_settings_cannot_be_changed_afterwards() -> None:
    """What was read at start holds until the next start."""
    settings: Any = load_settings(EXAMPLES[0])
    with pytest.raises(ValueError, match="frozen"):
        settings.api.port = 1
