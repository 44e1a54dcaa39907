"""Names of files as text that every program can read, and as numbers.

A file's name is bytes, which need not be UTF-8; Python hands over the odd ones as lone
surrogates, which neither ``encode`` nor strict readers of JSON take. What is decided
about them is decided here.
"""

import re
import zlib


def readable(name: str) -> str:
    r"""The name as valid text: bytes that are no UTF-8 become ``\xff`` and the like."""
    name = re.sub("[\ud800-\udc7f\udd00-\udfff]", _escaped, name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def checksum(name: str) -> int:
    """CRC-32 of the name's bytes, from 0 to 2^32 - 1."""
    name = re.sub("[\ud800-\udc7f\udd00-\udfff]", _escaped, name)
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))


def _escaped(match: re.Match[str]) -> str:
    """A surrogate that stands for no byte."""
    return f"\\u{ord(match[0]):04x}"
