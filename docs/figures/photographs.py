"""Draws the pictures of photographs.md: damaged photographs, and what becomes of them.

python docs/figures/photographs.py --model=faces128 --output=docs/figures

makes photograph-<kind>.jpg, one for each of five kinds of photograph. Each is made of
the project's portraits, and damaged in four ways.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFont, ImageOps

import inpaint_jax
from experiments.runtime import compilation_cache, program
from inpaint_jax.photographs import faces

flags.adopt_module_key_flags(compilation_cache)
_MODEL = flags.DEFINE_string("model", "faces128", "As for experiments.inpaint.")
_OUTPUT = flags.DEFINE_string(
    "output", "outputs/photographs", "Folder for the pictures."
)

_DEMO = Path(inpaint_jax.__file__).parent / "demo"
_FRAME = (178, 218)  # Size of a portrait.
_SIDE = 237  # Of a picture in the sheet, in pixels.
_GAP, _TITLE = 6, 22
_WHITE, _GREY = (255, 255, 255), (128, 128, 128)


class Photograph(NamedTuple):
    """A photograph of one face or more.

    Attributes:
      picture: The photograph.
      place: From points ``[N, 2]`` of a portrait to points of the photograph.
      faces: Portraits in it, and how far right of the first each begins, in its pixels.
      window: Part that is shown, ``(x, y, width, height)``.
    """

    picture: Image.Image
    place: Callable[[np.ndarray], np.ndarray]
    faces: tuple[float, ...]
    window: tuple[int, int, int, int]


def _portrait(name: str, scale: float) -> Image.Image:
    with Image.open(_DEMO / f"{name}.png") as picture:
        size = round(_FRAME[0] * scale), round(_FRAME[1] * scale)
        return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _wall(width: int, height: int, seed: int) -> Image.Image:
    """A background of soft colours."""
    colors = np.random.default_rng(seed).integers(50, 170, (3, 4, 3), np.uint8)
    wall = Image.fromarray(colors)
    return wall.resize((width, height), Image.Resampling.BICUBIC)


def _off_centre() -> Photograph:
    canvas = _wall(1200, 800, 1)
    canvas.paste(_portrait("biden", 2.0), (100, 300))
    return Photograph(canvas, lambda p: 2.0 * p + (100, 300), (0,), (60, 290, 440, 440))


def _tilted() -> Photograph:
    canvas, portrait = _wall(1200, 800, 2), _portrait("collins", 2.0)
    turned = portrait.rotate(25, Image.Resampling.BICUBIC, expand=True)
    inside = Image.new("L", portrait.size, 255)
    inside = inside.rotate(25, Image.Resampling.BICUBIC, expand=True)
    canvas.paste(turned, (600, 100), inside)
    middle = np.array(turned.size) / 2 + (600, 100)
    cos, sin = np.cos(np.radians(25)), np.sin(np.radians(25))

    def place(points: np.ndarray) -> np.ndarray:
        away = 2.0 * points - np.array(portrait.size) / 2
        return away @ np.array([[cos, -sin], [sin, cos]]) + middle

    return Photograph(canvas, place, (0,), (640, 130, 440, 440))


def _turned() -> Photograph:
    canvas = _wall(1200, 800, 3)
    canvas.paste(_portrait("obama_portrait", 2.0), (500, 250))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned to the right by whoever shows it.
    file = io.BytesIO()
    lying = canvas.transpose(Image.Transpose.ROTATE_90)
    lying.save(file, "JPEG", quality=97, exif=exif)
    picture = Image.open(file)
    return Photograph(
        picture, lambda p: 2.0 * p + (500, 250), (0,), (460, 240, 440, 440)
    )


def _three() -> Photograph:
    canvas = _wall(1200, 500, 4)
    for i, name in enumerate(("biden", "obama_speech", "collins")):
        canvas.paste(_portrait(name, 1.7), (50 + 400 * i, 80))
    starts = tuple(400 / 1.7 * i for i in range(3))
    return Photograph(canvas, lambda p: 1.7 * p + (50, 80), starts, (0, 0, 1200, 500))


def _small() -> Photograph:
    canvas = _wall(1200, 800, 5)
    canvas.paste(_portrait("obama_portrait", 0.7), (700, 500))
    return Photograph(
        canvas, lambda p: 0.7 * p + (700, 500), (0,), (686, 496, 154, 154)
    )


_KINDS = {
    "offcentre": _off_centre,
    "tilted": _tilted,
    "turned": _turned,
    "three": _three,
    "small": _small,
}
_SHAPES = {
    "a stroke over an eye": [(57, 107), (82, 104), (83, 114), (58, 117)],
    "a scratch": [(40, 55), (70, 85), (95, 118), (128, 150), (150, 186)],
    "half a face": [(90, 75), (128, 75), (130, 176), (92, 176)],
}
"""Outlines in a portrait, of which the eyes are at (69, 111) and (108, 111). The
scratch is a line."""
_DAMAGES = ("a stroke over an eye", "a scratch", "a watermark", "half a face")


def _missing(kind: str, photograph: Photograph, size: tuple[int, int]) -> Image.Image:
    """The hole of a damage, white where pixels are missing."""
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    eyes = photograph.place(np.array([(69, 111), (108, 111)], float))
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    if kind == "a watermark":
        font = ImageFont.load_default(size=max(8, 0.45 * unit))
        step = round(0.95 * unit), round(2.4 * unit)
        for row, y in enumerate(range(0, size[1], step[0])):
            for x in range(-(row % 2) * step[1] // 2, size[0], step[1]):
                draw.text((x, y), "SAMPLE", 255, font)
        return mask.point(lambda level: 255 * (level > 0))
    for start in photograph.faces:
        outline = np.add(_SHAPES[kind], (start, 0.0))
        points = [(float(x), float(y)) for x, y in photograph.place(outline)]
        if kind == "a scratch":
            draw.line(points, 255, max(2, round(0.06 * unit)), "curve")
        else:
            draw.polygon(points, 255)
    return mask


def _column(photograph: Photograph, kind: str, model: inpaint_jax.Model) -> Image.Image:
    """A damaged photograph above the repaired one."""
    # Without the extra that finds faces `face` is refused, with what to install.
    of_faces = faces.places_of(model.name, model.metadata) is not None
    upright = ImageOps.exif_transpose(photograph.picture)
    mask = _missing(kind, photograph, upright.size)
    key = jax.random.key(0)
    repaired = inpaint_jax.repair(
        photograph.picture,
        mask,
        model=model,
        key=key,
        frame="face" if of_faces else "auto",
    )
    result = ImageOps.exif_transpose(repaired.picture)
    known = np.asarray(mask) == 0
    if not np.array_equal(np.asarray(result)[known], np.asarray(upright)[known]):
        raise ValueError(f"{kind}: a known pixel has changed")
    damaged = upright.copy()
    damaged.paste(_GREY if kind == "half a face" else _WHITE, mask=mask)
    x, y, width, height = photograph.window
    shown = _SIDE, round(_SIDE * height / width)
    column = Image.new("RGB", (_SIDE, _TITLE + 2 * shown[1] + _GAP), _WHITE)
    font = ImageFont.load_default(size=14)
    ImageDraw.Draw(column).text((_SIDE / 2, 3), kind, 0, font, anchor="ma")
    for row, picture in enumerate((damaged, result)):
        part = picture.convert("RGB").crop((x, y, x + width, y + height))
        part = part.resize(shown, Image.Resampling.LANCZOS)
        column.paste(part, (0, _TITLE + row * (shown[1] + _GAP)))
    return column


def main() -> int:
    model = inpaint_jax.load_model(_MODEL.value)
    folder = program.make_folder(Path(_OUTPUT.value))
    for name, make in _KINDS.items():
        columns = [_column(make(), kind, model) for kind in _DAMAGES]
        width = len(columns) * (_SIDE + _GAP) - _GAP
        sheet = Image.new("RGB", (width, columns[0].height), _WHITE)
        for i, column in enumerate(columns):
            sheet.paste(column, (i * (_SIDE + _GAP), 0))
        path = folder / f"photograph-{name}.jpg"
        sheet.save(path, quality=88)
        print(path)
    return 0


if __name__ == "__main__":
    program.run(main)
