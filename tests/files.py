"""Picture files and zips to test with, also such as Pillow would never write."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image


def noise(height=20, width=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(kind="PNG", seed=0, **options):
    file = io.BytesIO()
    Image.fromarray(noise(seed=seed)).save(file, kind, **options)
    return file.getvalue()


def save(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(noise() if image is None else image)
    image.save(path, **options)
    return path


def save_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def raw_png(width, height, data=b"", *, kind=2, depth=8, **chunks):
    """A PNG by hand: headers and chunks that Pillow would never write."""

    def chunk(name, body):
        checksum = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + checksum

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head)]
    parts += [chunk(name.encode(), body) for name, body in chunks.items()]
    parts += [chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
