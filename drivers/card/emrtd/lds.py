"""What stands in EF.COM, DG1 and DG2 (ICAO Doc 9303 part 10; face record: ISO/IEC 19794-5). Pure."""

import enum
import struct
from dataclasses import dataclass, field

from drivers.card.emrtd.mrz import MrzError, MrzHolder
from drivers.card.tlv import DataObject, TlvError, parse
from drivers.sensitive import SensitiveBytes

TAG_LIST, TAG_MRZ = 0x5C, 0x5F1F
BIOMETRIC_GROUP, BIOMETRIC_TEMPLATE = 0x7F61, 0x7F60
BIOMETRIC_DATA = (0x5F2E, 0x7F2E)
FACE_MAGIC = b"FAC\x00010\x00"
FACE_HEADER = struct.Struct(">8sIH")
"""Magic and version, length of the record, number of pictures."""
FACE_INFORMATION = struct.Struct(">IHBBB3s2s3s3s")
"""Length of the block, feature points, sex, eyes, hair, properties, expression, pose, its uncertainty."""
FEATURE_POINT_SIZE = 8
IMAGE_INFORMATION = struct.Struct(">BBHHBBHH")
"""Kind of picture, coding, width, height, colours, source, device, quality."""


class LdsError(ValueError):
    """A file without the structure it must have. The content is not repeated."""


class FaceCoding(enum.IntEnum):
    """How the picture is coded (ISO/IEC 19794-5, image data type)."""

    JPEG = 0
    JPEG2000 = 1


@dataclass(frozen=True, slots=True, eq=False)
class FaceImage:
    """The picture on the chip; whoever holds it wipes it."""

    coding: FaceCoding
    width: int
    height: int
    content: SensitiveBytes = field(repr=False)


def data_groups(com: bytes | bytearray) -> frozenset[int]:
    """Tags of the data groups that EF.COM lists."""
    objects = _inside(com, 0x60)
    return frozenset(next((one.value for one in objects if one.tag == TAG_LIST), b""))


def mrz_of(dg1: bytes | bytearray) -> MrzHolder:
    """The holder as DG1 has them."""
    for one in _inside(dg1, 0x61):
        if one.tag == TAG_MRZ:
            try:
                return MrzHolder.read(one.value.decode("ascii"))
            except (UnicodeDecodeError, MrzError) as error:
                raise LdsError("the machine-readable zone on the chip does not hold together") from error
    raise LdsError("DG1 holds no machine-readable zone")


def face_of(dg2: bytes | bytearray) -> FaceImage:
    """The first picture of DG2."""
    for group in _inside(dg2, 0x75):
        if group.tag != BIOMETRIC_GROUP:
            continue
        for template in _objects(group.value):
            if template.tag != BIOMETRIC_TEMPLATE:
                continue
            for one in _objects(template.value):
                if one.tag in BIOMETRIC_DATA:
                    return _face(one.value)
    raise LdsError("DG2 holds no face")


def _face(record: bytes) -> FaceImage:
    """One face out of a face record."""
    try:
        magic, _, pictures = FACE_HEADER.unpack_from(record, 0)
        length, points, *_ = FACE_INFORMATION.unpack_from(record, FACE_HEADER.size)
        offset = FACE_HEADER.size + FACE_INFORMATION.size + points * FEATURE_POINT_SIZE
        _, coding, width, height, *_ = IMAGE_INFORMATION.unpack_from(record, offset)
        kind = FaceCoding(coding)
    except (struct.error, ValueError) as error:
        raise LdsError("the face record is cut off, or coded in a way nobody knows") from error
    content = record[offset + IMAGE_INFORMATION.size : FACE_HEADER.size + length]
    if magic != FACE_MAGIC or not pictures or not content:
        raise LdsError("not a face record of ISO/IEC 19794-5")
    return FaceImage(kind, width, height, SensitiveBytes(content))


def _inside(file: bytes | bytearray, tag: int) -> list[DataObject]:
    objects = _objects(bytes(file))
    if len(objects) != 1 or objects[0].tag != tag:
        raise LdsError(f"not a file of tag {tag:X}")
    return _objects(objects[0].value)


def _objects(content: bytes) -> list[DataObject]:
    try:
        return list(parse(content))
    except TlvError as error:
        raise LdsError("data objects do not fit") from error
