"""The paper's data sets in the files that people have, with pictures of one's own."""

import contextlib
import io
import tarfile
import zipfile

import numpy as np
import scipy.io
from files import noise
from PIL import Image

RANGES = {"train": (0, 162_770), "validation": (162_770, 182_637), "test": (182_637, 0)}
FACES = ("owner", "zip", "folder", "kaggle", "torchvision")
CARS = ("owner", "unpacked", "kaggle", "torchvision", "tar")


def jpeg(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def framed_face(image):
    """A face in CelebA's frame: 178 x 218, with borders above and below."""
    square = np.asarray(Image.fromarray(image).resize((178, 178)))
    frame = np.full((218, 178, 3), (90, 30, 160), np.uint8)
    frame[20:198] = square
    return frame


def framed_car(image, number):
    """A car in a larger frame, and its box in pixels, which may touch the frame.

    Returns:
      The picture, and ymin, xmin, ymax, xmax.
    """
    height, width = 70 + 7 * (number % 5), 90 + 11 * (number % 7)
    car = np.asarray(Image.fromarray(image).resize((width, height)))
    top, left = 13 * (number % 3), 9 * (number % 4)
    bottom, right = 17 * (number % 2), 5 * (number % 3)
    frame = np.full((top + height + bottom, left + width + right, 3), 200, np.uint8)
    frame[top : top + height, left : left + width] = car
    return frame, (top, left, top + height, left + width)


def shades(count, height=218, width=178):
    """Pictures that differ, each of two colours, so that JPEG keeps them apart."""
    result = []
    for i in range(count):
        image = np.full(
            (height, width, 3), (9 * i % 256, 40, 255 - 7 * i % 256), np.uint8
        )
        image[: height // 2, : width // 2] //= 2
        result.append(image)
    return result


def faces_of(ids):
    return {
        f"{id:06d}": jpeg(image)
        for id, image in zip(ids, shades(len(ids)), strict=True)
    }


def cars_of(count):
    cars = [framed_car(noise(64, 64, i), i) for i in range(count)]
    pictures = {f"{i:05d}": jpeg(car) for i, (car, _) in enumerate(cars, 1)}
    boxes = {f"{i:05d}": box for i, (_, box) in enumerate(cars, 1)}
    return pictures, boxes


def split_of(number):
    return next(k for k, (low, high) in RANGES.items() if low < number <= (high or 1e9))


def celeb_a(folder, pictures, layout="zip", partition=True):
    """Writes CelebA.

    Args:
      folder: Where to.
      pictures: Contents of files by number, as ``000001``.
      layout: One of ``FACES``.
      partition: Whether to write the partition file, or its text.

    Returns:
      The zip or the folder of the pictures.
    """
    splits = {id: list(RANGES).index(split_of(int(id))) for id in pictures}
    nested = "img_align_celeba"
    if layout == "kaggle":
        root, nested = folder, "img_align_celeba/img_align_celeba"
        text = "image_id,partition\n"
        text += "".join(f"{id}.jpg,{number}\n" for id, number in splits.items())
        where = root / "list_eval_partition.csv"
    else:
        root = folder / "celeba" if layout == "torchvision" else folder
        text = "".join(f"{id}.jpg {number}\n" for id, number in splits.items())
        where = root / "list_eval_partition.txt"
        if layout == "owner":
            root, where = (
                folder / "CelebA" / "Img",
                folder / "CelebA" / "Eval" / where.name,
            )
    root.mkdir(parents=True, exist_ok=True)
    if partition:
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text if partition is True else partition)
    if layout in ("zip", "owner"):
        path = root / "img_align_celeba.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.mkdir(nested)
            for id, data in pictures.items():
                archive.writestr(f"{nested}/{id}.jpg", data)
        return path
    write_all(root / nested, pictures)
    return root / "img_align_celeba"


def write_all(folder, pictures):
    folder.mkdir(parents=True, exist_ok=True)
    for id, data in pictures.items():
        (folder / f"{id}.jpg").write_bytes(data)


def svhn(folder, digits, split="train"):
    """Writes a file of SVHN of ``[N, 32, 32, 3]`` uint8."""
    path = folder / f"{split}_32x32.mat"
    x = np.moveaxis(np.asarray(digits), 0, -1)
    y = np.arange(len(digits), dtype=np.uint8)[:, None] % 10 + 1
    scipy.io.savemat(path, {"X": x, "y": y}, do_compression=True)
    return path


def annotations(boxes, labels=True):
    """A file of boxes, ymin, xmin, ymax, xmax in pixels by id, as bytes."""
    names = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]
    names += ["class", "fname"] if labels else ["fname"]
    rows = np.zeros((1, len(boxes)), [(name, object) for name in names])
    for i, (id, (top, left, bottom, right)) in enumerate(boxes.items()):
        values = [np.uint16(x) for x in (left, top, right, bottom)]
        values += [np.uint8(3)] if labels else []
        rows[0, i] = (*values, f"{id}.jpg")
    file = io.BytesIO()
    scipy.io.savemat(file, {"annotations": rows}, do_compression=True)
    return file.getvalue()


def tar_of(path, members):
    """Writes a tar, compressed unless its suffix is ``.tar``."""
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def cars196(folder, pictures, boxes, split="train", layout="owner"):
    """Writes a split of Stanford Cars.

    Args:
      folder: Where to.
      pictures: Contents of files by id.
      boxes: ymin, xmin, ymax, xmax in pixels by id.
      split: ``train`` or ``test``.
      layout: One of ``CARS``.

    Returns:
      The archive or the folder of the pictures.
    """
    name = f"cars_{split}"
    data = annotations(boxes)
    train, test = "cars_train_annos.mat", "cars_test_annos_withlabels.mat"
    if layout in ("owner", "tar"):
        packed = {f"{name}/{id}.jpg": x for id, x in pictures.items()}
        if split == "train":
            tar_of(folder / "car_devkit.tgz", {f"devkit/{train}": data})
        else:
            (folder / test).write_bytes(data)
        return tar_of(
            folder / f"{name}.{'tgz' if layout == 'owner' else 'tar'}", packed
        )
    root, devkit = folder, folder / "devkit"
    nested = name
    if layout == "torchvision":
        root = folder / "stanford_cars"
        devkit = root if split == "test" else root / "devkit"
    elif layout == "kaggle":
        nested, devkit = f"{name}/{name}", folder / "car_devkit" / "devkit"
        test = "cars_test_annos_withlabels (1).mat"
    devkit.mkdir(parents=True, exist_ok=True)
    (devkit / (train if split == "train" else test)).write_bytes(data)
    write_all(root / nested, pictures)
    return root / name


@contextlib.contextmanager
def cut(path, size):
    """The file with its first ``size`` bytes only, while the context lasts."""
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    yield path
    path.write_bytes(whole)
