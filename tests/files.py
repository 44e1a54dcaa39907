"""Picture files and zips to test with, also such as Pillow would never write."""

import contextlib
import io
import struct
import zipfile
import zlib

import numpy as np
from conftest import DEMO
from PIL import Image

from inpaint_jax.data.decoding import read_picture
from inpaint_jax.data.images import crop_and_resize

PORTRAITS = ["biden", "collins", "obama_portrait", "obama_speech"]


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


def portrait(name, **options):
    """A portrait as a data set has it, ``[S, S, 3]`` uint8."""
    return crop_and_resize(read_picture(DEMO / f"{name}.png"), **options)


def portraits(name):
    """The four portraits as a data set's: by id, the file's content and a box."""
    result = {}
    for i, portrait_name in enumerate(PORTRAITS):
        with Image.open(DEMO / f"{portrait_name}.png") as image:
            small = image.resize((32, 32)) if name == "svhn_cropped" else image
            file = io.BytesIO()
            small.save(file, "PNG")
        id = f"test_{i:06d}" if name == "svhn_cropped" else f"{i:05d}"
        result[id] = file.getvalue(), (0.25, 0.5, 0.75, 1.0)
    return result


def prepare(tfds, name, folder, file_format="array_record", pictures=None):
    """Writes pictures as tensorflow-datasets would write the real data.

    Args:
      tfds: The module, an option.
      name: ``celeb_a``, ``svhn_cropped`` or ``cars196``.
      folder: Its ``data_dir``.
      file_format: How records are stored.
      pictures: By id, the content of a file and its box, as shares of the sides; None:
        the four portraits.
    """
    cls = tfds.builder_cls(name)
    info = {
        "celeb_a": lambda id, box: {
            "attributes": dict.fromkeys(cls_features("attributes"), False),
            "landmarks": dict.fromkeys(cls_features("landmarks"), 0),
            "identity": {"Identity_No": 0},
        },
        "svhn_cropped": lambda id, box: {"label": 0, "id": id},
        "cars196": lambda id, box: {
            "label": 0,
            "id": id,
            "bbox": tfds.features.BBox(*box),
        },
    }[name]
    features = tfds.builder(name, data_dir=folder).info.features

    def cls_features(key):
        return features[key].keys()

    def examples(self):
        for id, (data, box) in (pictures or portraits(name)).items():
            yield id, {"image": io.BytesIO(data), **info(id, box)}

    body = {
        "name": name,
        "_generate_examples": examples,
        "_split_generators": lambda self, manager: {
            "train": self._generate_examples(),
            "test": self._generate_examples(),
        },
    }
    with tfds.core.registered.skip_registration():
        builder = type(cls.__name__, (cls,), body)
    with contextlib.redirect_stdout(io.StringIO()):
        builder(data_dir=folder, file_format=file_format).download_and_prepare()
