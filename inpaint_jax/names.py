"""File names as valid text, and their checksums.

A file name is a sequence of bytes that need not be UTF-8. Python represents invalid
bytes as lone surrogates, which neither ``encode`` nor strict JSON readers accept. This
module alone decides how to write them.
"""

import re
import zlib


def readable(name: str) -> str:
    r"""The name as valid text: bytes that are not UTF-8 become ``\xff`` and so on."""
    name = re.sub("[\ud800-\udc7f\udd00-\udfff]", _escaped, name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def checksum(name: str) -> int:
    """CRC-32 of the name's bytes, from 0 to 2^32 - 1."""
    name = re.sub("[\ud800-\udc7f\udd00-\udfff]", _escaped, name)
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))


def _escaped(match: re.Match[str]) -> str:
    """The escape sequence of a surrogate that does not stand for a byte."""
    return f"\\u{ord(match[0]):04x}"
