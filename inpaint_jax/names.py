"""Names of files as text that every program can read, and as numbers.

A file's name is bytes, which need not be UTF-8; Python hands over the odd ones as lone
surrogates, which neither ``encode`` nor strict readers of JSON take. What is decided
about them is decided here.
"""

import zlib


def readable(name: str) -> str:
    r"""The name as valid text: bytes that are no UTF-8 become ``\xNN``."""
    return _bytes(name).decode("utf-8", "backslashreplace")


def checksum(name: str) -> int:
    """CRC-32 of the name's bytes, from 0 to 2^32 - 1."""
    return zlib.crc32(_bytes(name))


def _bytes(name: str) -> bytes:
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # A surrogate that stands for no byte.
        return name.encode("utf-8", "surrogatepass")
