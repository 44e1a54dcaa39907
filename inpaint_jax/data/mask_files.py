"""Mask files: finding the mask that belongs to each picture."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence

from inpaint_jax.data.files import (
    Identity,
    ImageError,
    Picture,
    file_name,
    identities,
    list_pictures,
    printable,
)


def find_masks(
    path: str | os.PathLike[str], pictures: Sequence[Picture], *, kind: str = "mask"
) -> list[Picture | ImageError]:
    """Finds the mask that belongs to each picture.

    A mask has its picture's ``id``, ``stem`` or file name (extensions may differ), or
    that name followed by ``_mask`` and a number, the layout of LaMa:
    ``img_mask001.png`` beside ``img.png``. If ``path`` holds only the very picture
    under its name, the picture is its own mask, of which only the transparency counts.

    Args:
      path: One file for all, or a folder, zip or pattern with a mask for each picture.
      pictures: Pictures from ``find_pictures``; if ``path`` is their own folder,
        without the masks in it (``without_masks``).
      kind: What the files are, for messages; originals are found by the same names.

    Returns:
      For each picture its mask, or an error if it has none or several. Such an error
      concerns only that picture.

    Raises:
      ImageError: ``path`` does not exist or no picture has a mask there.
    """
    masks, skipped = list_pictures(path)
    files, own = identities(masks), identities(pictures)
    if masks[0].path == os.path.expanduser(path) and masks[0].member is None:
        return [
            own_mask(picture) if identity == files[0] else masks[0]
            for picture, identity in zip(pictures, own, strict=True)
        ]
    by_file = dict(zip(files, masks, strict=True))
    index = _index(by_file, dict(zip(own, pictures, strict=True)))
    result: list[Picture | ImageError] = []
    for picture, identity in zip(pictures, own, strict=True):
        keys = _names(picture)
        found = next((index[key] for key in keys if key in index), [])
        if len(found) == 1:
            result.append(found[0])
        elif found:
            names = ", ".join(file_name(mask) for mask in found[:3])
            names += ", ..." if len(found) > 3 else ""
            several = f"{len(found)} files could be its {kind}: {names}; leave one"
            result.append(ImageError(f"{picture}: {several}"))
        elif identity in by_file:
            result.append(own_mask(picture))
        else:
            lacks = f"no {kind} in {os.fspath(path)} has its name"
            unread = [str(each) for each in skipped if _is_mask(each.file, picture)]
            result.append(ImageError(f"{picture}: {(unread or [lacks])[0]}"))
    if pictures and all(isinstance(mask, ImageError) for mask in result):
        raise ImageError(str(result[0]))
    return result


def own_mask(picture: Picture) -> Picture:
    """A picture as its own mask: its transparent pixels are missing."""
    return dataclasses.replace(picture, only_alpha=True)


def without_masks(
    path: str | os.PathLike[str], pictures: Sequence[Picture]
) -> list[Picture]:
    """Removes from pictures those that are masks of others, in LaMa's layout.

    Args:
      path: Place of the masks, as for ``find_masks``.
      pictures: Pictures from ``find_pictures``.

    Returns:
      All pictures but ``X_mask.png``, ``X_mask001.png`` and so on that are both in
      ``path`` and beside a picture ``X``.

    Raises:
      ImageError: ``path`` does not exist or holds no pictures.
    """
    masks = set(identities(list_pictures(path).pictures))
    own = identities(pictures)
    bodies = {_body(identity) for identity in own}

    def is_mask(identity: Identity) -> bool:
        folder, body = _body(identity)
        masked = _masked_name(body)
        return identity in masks and masked is not None and (folder, masked) in bodies

    return [
        picture
        for picture, identity in zip(pictures, own, strict=True)
        if not is_mask(identity)
    ]


def _body(identity: Identity) -> tuple[str, str]:
    """The zip, if any, and the path in it, without the extension."""
    path, member = identity
    folder, name = ("", path) if member is None else (path, member)
    return folder, os.path.splitext(name)[0]


def _masked_name(name: str) -> str | None:
    """The name without ``_mask001``: that of the picture whose mask it is; or None."""
    found = re.fullmatch(r"(.*[^/\\])_mask\d*", name, re.DOTALL)
    return found and found[1]


def _is_mask(file: str, picture: Picture) -> bool:
    """Whether an unreadable file has the name of a picture's mask."""
    name = os.path.splitext(re.split(r"[/\\]|: ", file)[-1])[0]
    own = os.path.splitext(printable(file_name(picture)))[0]
    return own in (name, _masked_name(name))


def _names(picture: Picture) -> list[tuple[int, str]]:
    """Names that a picture can share with its mask, best first."""
    file = os.path.splitext(file_name(picture))[0]
    return list(enumerate((picture.id, picture.stem, file)))


def _index(
    masks: dict[Identity, Picture], pictures: dict[Identity, Picture]
) -> dict[tuple[int, str], list[Picture]]:
    """Masks by the best of the ``_names`` that they share with pictures."""
    named = {key: id for id, picture in pictures.items() for key in _names(picture)}
    index: dict[tuple[int, str], list[Picture]] = collections.defaultdict(list)

    def add(mask: Picture, keys: Iterable[tuple[int, str]]) -> None:
        best = next((key for key in keys if key in named), None)
        if best is not None:
            index[best].append(mask)

    for identity, mask in masks.items():
        keys = _names(mask)
        if identity not in pictures:  # A picture is not another's mask by name alone.
            add(mask, keys)
        # A file with a picture's exact name is that picture's mask, not the mask of the
        # picture whose name stands before _mask.
        if all(named.get(key, identity) == identity for key in keys):
            masked = [(place, _masked_name(name)) for place, name in keys]
            add(mask, [(place, name) for place, name in masked if name is not None])
    return index
