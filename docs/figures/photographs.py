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
from experiments.flags import model as model_flags
from experiments.runtime import compilation_cache, program
from inpaint_jax.data import sheets
from inpaint_jax.photographs import faces

_MODEL = model_flags.define_model_for_photographs()
for _module in (compilation_cache, model_flags):
    flags.adopt_module_key_flags(_module)
_OUTPUT = flags.DEFINE_string(
    "output", "outputs/photographs", "Folder for the pictures."
)

_DEMO = Path(inpaint_jax.__file__).parent / "demo"
_FRAME = (178, 218)  # Size of a portrait.
_SIDE = 237  # Of a picture in the sheet, in pixels.
_WHITE, _GREY = (255, 255, 255), (128, 128, 128)


class Scene(NamedTuple):
    """A photograph of one face or more.

    Attributes:
      picture: The photograph.
      place: From points ``[N, 2]`` of a portrait to points of the photograph.
      window: Part that is shown, ``(x, y, width, height)``.
      faces: Portraits in it, and how far right of the first each begins, in its pixels.
    """

    picture: Image.Image
    place: Callable[[np.ndarray], np.ndarray]
    window: tuple[int, int, int, int]
    faces: tuple[float, ...] = (0,)


def _portrait(name: str, scale: float) -> Image.Image:
    with Image.open(_DEMO / f"{name}.png") as picture:
        size = round(_FRAME[0] * scale), round(_FRAME[1] * scale)
        return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _wall(width: int, height: int, seed: int) -> Image.Image:
    """A background of soft colours."""
    colors = np.random.default_rng(seed).integers(50, 170, (3, 4, 3), np.uint8)
    wall = Image.fromarray(colors)
    return wall.resize((width, height), Image.Resampling.BICUBIC)


def _upright(name: str, scale: float, corner: tuple[int, int], seed: int) -> Scene:
    """A portrait on a wall, as it is."""
    canvas, (x, y) = _wall(1200, 800, seed), corner
    canvas.paste(_portrait(name, scale), corner)
    # All of the head, and some of the wall.
    side = round(220 * scale)
    window = x - round(20 * scale), y - round(5 * scale), side, side
    return Scene(canvas, lambda p: scale * p + corner, window)


def _tilted() -> Scene:
    canvas, portrait = _wall(1200, 800, 2), _portrait("collins", 2.0)
    inside = Image.new("L", portrait.size, 255)
    turned, inside = (
        each.rotate(25, Image.Resampling.BICUBIC, expand=True)
        for each in (portrait, inside)
    )
    canvas.paste(turned, (600, 100), inside)
    middle = np.array(turned.size) / 2 + (600, 100)
    cos, sin = np.cos(np.radians(25)), np.sin(np.radians(25))

    def place(points: np.ndarray) -> np.ndarray:
        away = 2.0 * points - np.array(portrait.size) / 2
        return away @ np.array([[cos, -sin], [sin, cos]]) + middle

    return Scene(canvas, place, (640, 130, 440, 440))


def _turned() -> Scene:
    """A file whose pixels lie on their side."""
    scene = _upright("obama_portrait", 2.0, (500, 250), 3)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # To be turned to the right by whoever shows it.
    lying = scene.picture.transpose(Image.Transpose.ROTATE_90)
    lying.save(file, "JPEG", quality=97, exif=exif)
    return scene._replace(picture=Image.open(file))


def _three() -> Scene:
    canvas = _wall(1200, 500, 4)
    for i, name in enumerate(("biden", "obama_speech", "collins")):
        canvas.paste(_portrait(name, 1.7), (50 + 400 * i, 80))
    starts = tuple(400 / 1.7 * i for i in range(3))
    return Scene(canvas, lambda p: 1.7 * p + (50, 80), (0, 0, 1200, 500), starts)


_KINDS = {
    "offcentre": lambda: _upright("biden", 2.0, (100, 300), 1),
    "tilted": _tilted,
    "turned": _turned,
    "three": _three,
    "small": lambda: _upright("obama_portrait", 0.7, (700, 500), 5),
}
_SHAPES = {
    "a stroke over an eye": [(57, 107), (82, 104), (83, 114), (58, 117)],
    "a scratch": [(40, 55), (70, 85), (95, 118), (128, 150), (150, 186)],
    "half a face": [(90, 75), (128, 75), (130, 176), (92, 176)],
}
"""Outlines in a portrait, of which the eyes are at (69, 111) and (108, 111). The
scratch is a line."""
_DAMAGES = ("a stroke over an eye", "a scratch", "a watermark", "half a face")


def _missing(kind: str, scene: Scene, size: tuple[int, int]) -> Image.Image:
    """The hole of a damage, white where pixels are missing."""
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    eyes = scene.place(np.array([(69, 111), (108, 111)], float))
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    if kind == "a watermark":
        font = ImageFont.load_default(size=max(8, 0.45 * unit))
        step = round(0.95 * unit), round(2.4 * unit)
        for row, y in enumerate(range(0, size[1], step[0])):
            for x in range(-(row % 2) * step[1] // 2, size[0], step[1]):
                draw.text((x, y), "SAMPLE", 255, font)
        return mask.point(lambda level: 255 * (level > 0))
    for start in scene.faces:
        outline = np.add(_SHAPES[kind], (start, 0.0))
        points = [(float(x), float(y)) for x, y in scene.place(outline)]
        if kind == "a scratch":
            draw.line(points, 255, max(2, round(0.06 * unit)), "curve")
        else:
            draw.polygon(points, 255)
    return mask


def _draw(scene: Scene, model: inpaint_jax.Model, frame: str) -> np.ndarray:
    """Each damage of a photograph above what became of it."""
    upright, key = ImageOps.exif_transpose(scene.picture), jax.random.key(0)
    above, below = [], []
    for kind in _DAMAGES:
        mask = _missing(kind, scene, upright.size)
        found = inpaint_jax.repair(
            scene.picture, mask, model=model, key=key, frame=frame
        )
        result = ImageOps.exif_transpose(found.picture)
        known = np.asarray(mask) == 0
        if not np.array_equal(np.asarray(result)[known], np.asarray(upright)[known]):
            raise ValueError(f"{kind}: a known pixel has changed")
        damaged = upright.copy()
        damaged.paste(_GREY if kind == "half a face" else _WHITE, mask=mask)
        above.append(_shown(damaged, scene))
        below.append(_shown(result, scene))
    return sheets.grid([above, below], column_labels=_DAMAGES, scale=1)


def _shown(picture: Image.Image, scene: Scene) -> np.ndarray:
    x, y, width, height = scene.window
    part = picture.convert("RGB").crop((x, y, x + width, y + height))
    size = _SIDE, round(_SIDE * height / width)
    return np.asarray(part.resize(size, Image.Resampling.LANCZOS))


def main() -> int:
    model = inpaint_jax.load_model(model_flags.or_default(_MODEL.value))
    folder = program.make_folder(Path(_OUTPUT.value))
    # Without the extra that finds faces `face` is refused, with what to install.
    of_faces = faces.places_of(model.name, model.metadata) is not None
    for name, make in _KINDS.items():
        sheet = _draw(make(), model, "face" if of_faces else "auto")
        path = folder / f"photograph-{name}.jpg"
        Image.fromarray(sheet).save(path, quality=88)
        print(path)
    return 0


if __name__ == "__main__":
    program.run(main)
