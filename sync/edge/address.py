"""Where head office is: ``https://``, a name or number, perhaps a port, and nothing else; pure.

Checked before anything is sent, because the first request carries the one-time token: over plain HTTP anybody on
the way could read it and enrol a device of their own.
"""

from urllib.parse import urlsplit

from sync.errors import AddressError


def head_office_url(text: str) -> str:
    """``https://HOST[:PORT]`` without a slash at the end.

    Raises
    ------
    AddressError
        Not https, no host, or more than host and port. Its text never repeats the address: it may hold a password.
    """
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        # urlsplit() would take line ends and tabs out and read what remains.
        raise AddressError("has spaces or invisible letters in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError("host or port cannot be read") from error
    if parts.scheme != "https":
        raise AddressError("does not begin with https://")
    if parts.username is not None or parts.password is not None:
        raise AddressError("holds a user name or password")
    if not parts.hostname or port == 0:
        raise AddressError("names no host, or a port that cannot be")
    # Not by what was parsed: an empty query or fragment is a stray letter all the same.
    if text.removesuffix("/") != f"{text[:8]}{parts.netloc}":
        raise AddressError("goes on behind host and port; leave out path and query")
    return f"https://{parts.netloc}"
