"""Standard USB descriptors, in a row as sysfs and recordings hold them (USB 2.0, chapter 9.6)."""

from types import SimpleNamespace

_DEVICE_FIELDS = (
    ("bLength", 1),
    ("bDescriptorType", 1),
    ("bcdUSB", 2),
    ("bDeviceClass", 1),
    ("bDeviceSubClass", 1),
    ("bDeviceProtocol", 1),
    ("bMaxPacketSize0", 1),
    ("idVendor", 2),
    ("idProduct", 2),
    ("bcdDevice", 2),
    ("iManufacturer", 1),
    ("iProduct", 1),
    ("iSerialNumber", 1),
    ("bNumConfigurations", 1),
)
_CONFIGURATION_FIELDS = (
    ("bLength", 1),
    ("bDescriptorType", 1),
    ("wTotalLength", 2),
    ("bNumInterfaces", 1),
    ("bConfigurationValue", 1),
    ("iConfiguration", 1),
    ("bmAttributes", 1),
    ("bMaxPower", 1),
)
_INTERFACE_FIELDS = (
    ("bLength", 1),
    ("bDescriptorType", 1),
    ("bInterfaceNumber", 1),
    ("bAlternateSetting", 1),
    ("bNumEndpoints", 1),
    ("bInterfaceClass", 1),
    ("bInterfaceSubClass", 1),
    ("bInterfaceProtocol", 1),
    ("iInterface", 1),
)
_ENDPOINT_FIELDS = (
    ("bLength", 1),
    ("bDescriptorType", 1),
    ("bEndpointAddress", 1),
    ("bmAttributes", 1),
    ("wMaxPacketSize", 2),
    ("bInterval", 1),
)


def device(descriptors: bytes) -> SimpleNamespace:
    """The device descriptor, with libusb's field names."""
    return _parsed(_DEVICE_FIELDS, descriptors)


def configuration(descriptors: bytes) -> SimpleNamespace:
    """The first configuration."""
    return _parsed(_CONFIGURATION_FIELDS, _of_type(descriptors, 2)[0])


def interfaces(descriptors: bytes) -> list[SimpleNamespace]:
    """The interfaces of the first configuration, in order."""
    return [_parsed(_INTERFACE_FIELDS, one) for one in _of_type(descriptors, 4)]


def endpoints(descriptors: bytes) -> list[SimpleNamespace]:
    """The endpoints of all interfaces, in order."""
    return [_parsed(_ENDPOINT_FIELDS, one) for one in _of_type(descriptors, 5)]


def _parsed(fields: tuple[tuple[str, int], ...], data: bytes) -> SimpleNamespace:
    said, at = SimpleNamespace(extra_descriptors=[], bRefresh=0, bSynchAddress=0), 0
    for name, size in fields:
        setattr(said, name, int.from_bytes(data[at : at + size], "little"))
        at += size
    return said


def _of_type(descriptors: bytes, wanted: int) -> list[bytes]:
    found, at = [], 0
    while at < len(descriptors) and descriptors[at]:
        one = descriptors[at : at + descriptors[at]]
        if one[1] == wanted:
            found.append(one)
        at += len(one)
    return found
