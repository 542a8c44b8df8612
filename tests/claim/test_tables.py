"""The domain's tables: complete, consistent, and refused when they are not."""

import enum
import re
import shutil
import string
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.tables import FILES, Text, load_tables, tables_folder
from drivers.scanner.base import PlaceAgain
from matcher.quality import QualityReason
from mpos_agent.claim.draft import FallbackCode
from mpos_agent.claim.findings import Block, Caution
from mpos_agent.claim.policy import Policy
from mpos_agent.claim.states import State
from mpos_agent.claim.steps import form
from mpos_agent.people import Refusal
from sync.packet import (
    AttemptOutcome,
    Basis,
    BioOutcome,
    NpwpAnswer,
    PhotoCompare,
    Programme,
    Relation,
    Segment,
)

TABLES = load_tables()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tables to spoil."""
    copy = tmp_path / "tables"
    shutil.copytree(tables_folder(), copy)
    return copy


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    """Replace one spot of one table; the spot must exist."""
    file = folder / f"{name}.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("kind", [Block, Caution])
def test_every_finding_has_its_sentence(kind: type[enum.StrEnum]) -> None:
    """In both languages, with cause and cure."""
    for word in kind:
        text = TABLES.texts[f"finding.{word}"]
        for sentence in (text.id, text.en):
            cause, _, cure = sentence.partition(";")
            assert cause, word
            assert cure.rstrip().endswith("."), word


def test_no_sentence_is_left_over() -> None:
    """A finding that was renamed takes its sentence along."""
    words = {key.removeprefix("finding.") for key in TABLES.texts if key.startswith("finding.")}
    assert words == {*Block, *Caution}


def test_every_value_of_scanner_and_sign_in_has_its_sentence() -> None:
    """What a person is told comes from the tables."""
    for place in PlaceAgain:
        assert TABLES.texts[f"happened.PLACE_AGAIN_{place.name}"]
    for refusal in Refusal:
        assert TABLES.texts[f"refusal.{refusal}"]
    for finger in range(11):
        assert TABLES.texts[f"finger.{finger}"]
    for field in (*form.FIELDS, "pages", "claimant", "birth_date", "account", "supervisor_id", "reason", "documents"):
        assert TABLES.texts[f"field.{field}"]
    for outcome in (*AttemptOutcome, *BioOutcome):
        assert TABLES.texts[f"outcome.{outcome}"]
    for answer in PhotoCompare:
        assert TABLES.texts[f"photo.{answer}"]
    for given in NpwpAnswer:
        assert TABLES.texts[f"npwp.{given}"]
    for state in State:
        assert TABLES.texts[f"state.{state.value}"]
    for reason in QualityReason:
        assert TABLES.texts[f"quality.{reason.value}"]


def test_both_languages_fill_in_the_same_facts() -> None:
    """A placeholder in one language only would show a fact to half of the readers."""

    def names(text: str) -> set[str]:
        return {name.split("_")[0] for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, text in TABLES.texts.items():
        assert names(text.id) == names(text.en), key


def test_prompts_say_which_finger() -> None:
    """Filled in, nothing is left in braces."""
    text = TABLES.text("prompt.FINGER", finger_id="telunjuk kanan", finger_en="right index", attempt=1, limit=4)
    assert "{" not in text.id + text.en
    assert text == Text(
        id="Letakkan telunjuk kanan pada pemindai (percobaan 1 dari 4).",
        en="Place the right index on the scanner (attempt 1 of 4).",
    )


def test_programmes_are_those_of_the_packet() -> None:
    """One list, two places."""
    assert set(TABLES.programmes) == {*Programme}
    assert TABLES.programmes["JKP"].elsewhere is not None
    assert not TABLES.reasons_of("JKP")
    for code in set(Programme) - {Programme.JKP}:
        assert TABLES.reasons_of(code), code


def test_fallback_codes_are_those_of_the_code() -> None:
    """Each has at least one coded reason."""
    assert set(TABLES.fallbacks) == {*FallbackCode}
    assert all(row.reasons for row in TABLES.fallbacks.values())
    used = {reason for row in TABLES.fallbacks.values() for reason in row.reasons}
    assert used == set(TABLES.fallback_reasons)


def test_codes_fit_the_packet() -> None:
    """What a table names can travel: capitals, digits, underscores, at most 32."""
    for code in (*TABLES.reasons, *TABLES.documents, *TABLES.fallbacks, *Block, *Caution):
        assert re.fullmatch(r"[A-Z0-9][A-Z0-9_]{0,31}", code), code
    assert len(TABLES.version) <= 32
    assert Basis(TABLES.consent.basis)


def test_there_are_38_provinces_and_11_regions() -> None:
    """91 to 96 in the order of the decree, not of the lists that swap them."""
    assert len(TABLES.provinces) == 38
    assert [TABLES.provinces[str(code)] for code in range(91, 97)] == [
        "Papua",
        "Papua Barat",
        "Papua Selatan",
        "Papua Tengah",
        "Papua Pegunungan",
        "Papua Barat Daya",
    ]
    assert "99" not in TABLES.provinces
    assert len(TABLES.kanwil) == 11


def test_consent_text_names_what_the_law_asks_for() -> None:
    """Purpose, basis, data, retention, rights, and that a person decides; the checksum is that of this text."""
    for words in ("Untuk apa", "Dasar hukum", "Data apa", "Berapa lama", "Hak Anda", "tidak memutuskan"):
        assert words in TABLES.consent.text.id
    assert TABLES.consent.digest() == TABLES.consent.sha256


def test_every_membership_and_relation_can_claim_something() -> None:
    """No one stands at the counter for nothing."""
    for segment in Segment:
        assert [row for row in TABLES.reasons.values() if not row.segments or segment in row.segments]
    assert [row for row in TABLES.reasons.values() if row.heirs_only]
    assert len(Relation) == 6


def test_policy_takes_every_default_and_nothing_else() -> None:
    """A key nobody reads would look like a setting."""
    policy = Policy.of(TABLES.policy)
    assert policy.attempts_per_finger == 4
    assert policy.threshold_id == "FMR_0.01%"
    assert Policy.of(TABLES.policy, attempts_per_finger=2).attempts_per_finger == 2
    with pytest.raises(TypeError):
        Policy.of(TABLES.policy, attempts=3)


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("reasons", 'programmes = ["JHT"]', 'programmes = ["JHX"]', "JHX"),
        ("reasons", '"PAKLARING"', '"PAKLARINK"', "PAKLARINK"),
        ("reasons", "percent = 100", 'percent = "all"', "percent"),
        ("documents", '{ any_of = ["KPJ_CARD"] }', '{ any_of = ["CARD"] }', "CARD"),
        ("fallback", 'reasons = ["MEMBER_REFUSES"]', 'reasons = ["NONE"]', "NONE"),
        ("consent", "langsung dihapus", "disimpan", "sha256"),
        ("provinces", 'version = "2026-11-01"', "", "version"),
        ("banks", "digits_min = 15", "digits_least = 15", "digits_min"),
        ("policy", "[policy]", "[policies]", "policy"),
        ("texts", "[prompt.CONSENT]", "[prompt.CONSENT", "TOML"),
    ],
)
def test_a_spoilt_table_is_refused_with_file_and_place(folder: Path, table: str, old: str, new: str, told: str) -> None:
    """The technician who installs it reads which file, where, and what to do."""
    spoil(folder, table, old, new)
    with pytest.raises(ConfigError) as caught:
        load_tables(folder)
    assert f"{table}.toml" in str(caught.value)
    assert told in str(caught.value)
    assert caught.value.cure


@pytest.mark.parametrize("name", FILES)
def test_a_missing_table_is_named(folder: Path, name: str) -> None:
    """Half a set of tables is no set."""
    (folder / f"{name}.toml").unlink()
    with pytest.raises(ConfigError, match=f"{name}.toml"):
        load_tables(folder)


def test_version_changes_with_any_table(folder: Path) -> None:
    """Head office sees from the claim which rules it was made under."""
    before = load_tables(folder).version
    assert before == TABLES.version
    spoil(folder, "policy", "card_taps = 3", "card_taps = 2")
    assert load_tables(folder).version != before
