"""From a person to the files on a virtual chip: length prefixes, at-rest cipher, data signature."""

import hashlib

from drivers.card.ektp.files import (
    BIODATA,
    CARD_CONTROL,
    DATA_SIGNATURE,
    MINUTIAE_1,
    MINUTIAE_2,
    PHOTO,
    PREFIX,
    SIGNATURE_IMAGE,
    Access,
)
from drivers.card.ektp.template_file import MAGIC, VERSION_2005
from drivers.card.virtual import invented
from drivers.card.virtual.chip import ChipProfile
from drivers.card.virtual.faults import Faults, MissingFinger
from drivers.card.virtual.person import VirtualPerson

_SIGNED_ORDER = (BIODATA, PHOTO, SIGNATURE_IMAGE, MINUTIAE_1, MINUTIAE_2)
_RIGHT_INDEX, _LEFT_INDEX = 2, 7


def personalise(person: VirtualPerson, chip: ChipProfile, faults: Faults) -> dict[int, bytes]:
    """Content of every file by its id, as it lies on the chip."""
    plain = {
        BIODATA: _biodata(person, faults.biodata_fields),
        PHOTO: _photo(person.photo, faults.photo_without_soi),
        SIGNATURE_IMAGE: person.signature_image,
        MINUTIAE_1: _template(person.right_template, faults.missing_right_finger, _RIGHT_INDEX),
        MINUTIAE_2: _template(person.left_template, faults.missing_left_finger, _LEFT_INDEX),
    }
    if faults.wrong_template_length:
        template = plain[MINUTIAE_1]
        plain[MINUTIAE_1] = template[:8] + (len(template) + 6).to_bytes(4, "big") + template[12:]
    with_prefix = {file: len(content).to_bytes(PREFIX, "big") + content for file, content in plain.items()}

    control = invented.card_control(chip.working_uid, chip.control_length)
    key = invented.at_rest_key(control, chip.working_uid)
    digest = hashlib.sha256(b"".join(with_prefix[file] for file in _SIGNED_ORDER))
    if faults.broken_data_signature:
        digest.update(b"other data")
    files = {
        file.file_id: invented.encipher_at_rest(key, content) if file.access is Access.CIPHERED else content
        for file, content in with_prefix.items()
    }
    files[CARD_CONTROL.file_id] = invented.card_control_file(control)
    files[DATA_SIGNATURE.file_id] = invented.signature_file(invented.sign(digest.digest()), chip.control_length)
    return files


def _biodata(person: VirtualPerson, fields: int) -> bytes:
    line = person.biodata_line()
    if fields > len(person.fields):
        return line + b',"TAMBAHAN"' * (fields - len(person.fields))
    if fields < len(person.fields):
        return b",".join(f'"{value}"'.encode("latin-1") for value in person.fields[:fields])
    return line


def _photo(photo: bytes, without_soi: bool) -> bytes:
    return photo.replace(b"\xff\xd8", b"\x00\x00") if without_soi else photo


def _template(template: bytes | None, missing: MissingFinger | None, position: int) -> bytes:
    if missing is MissingFinger.TINY_RECORD:
        return empty_record(position)
    if missing is MissingFinger.LENGTH_ZERO or template is None:
        return b""
    return template


def empty_record(position: int) -> bytes:
    """A record of one view without minutiae, 30 bytes."""
    resolution = (197).to_bytes(2, "big")
    header = MAGIC + VERSION_2005 + (30).to_bytes(4, "big") + bytes(6) + resolution + resolution + b"\x01\x00"
    return header + bytes([position, 0, 0xFE, 0]) + bytes(2)
