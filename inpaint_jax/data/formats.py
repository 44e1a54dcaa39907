"""Formats of picture files: which can be read, and advice for the others.

Pillow reads them; HEIC needs the plug-in pillow-heif, an extra. A format is recognised
by a file's content, whatever its name. Names decide which files of a folder are taken
for pictures, and which of the others are reported as unreadable.
"""

import functools
import os

from PIL import Image, features

# Only these formats are tried, whatever the file's name. Pillow reads more, but some of
# them run other programs (EPS) or accept any file (TGA).
_READ = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".mpo"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".hif", ".heics", ".heifs"),
}
_TGA = ".tga"  # TGA has no signature: only files of this suffix are tried.
_FORMAT_OF = {suffix: name for name, each in _READ.items() for suffix in each}
_FORMAT_OF[_TGA] = "TGA"
# Pillow may have been built without these features.
_FEATURES = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}

_RAW_NAMES = """3fr arw bay cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef
nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"""
_OTHER_NAMES = """afphoto ai bpg clip cur dcm dds djvu dpx emf eps exr flif hdr icb icns
ico jxl jxr kra ora pcd pct pcx pfm pict psb psd qoi ras sgi svg svgz vda vst wdp wmf
xbm xcf xpm"""
_VIDEO_NAMES = "3gp avi flv m4v mkv mov mp4 mpeg mpg mts ogv ts webm wmv"
_VIDEO = frozenset(f".{name}" for name in _VIDEO_NAMES.split())
_RAW = frozenset(f".{name}" for name in _RAW_NAMES.split())
_NOT_READ = frozenset(f".{name}" for name in _OTHER_NAMES.split())
_NO_HEIF = (
    "HEIC needs pillow-heif: pip install 'inpaint_jax[heic]', or convert it to JPEG"
    " or PNG"
)
# Brands of ISO media files, at byte 8, that Pillow alone cannot read.
_HEIF_BRANDS = frozenset(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]
)
_JXL_SIGNATURES = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a")


def suffix_of(name: str) -> str:
    """The extension of a file's name, in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()


def looks_like_picture(name: str) -> bool:
    """Whether a file's name is that of a picture, readable or not."""
    suffix = suffix_of(name)
    return suffix in _FORMAT_OF or suffix in _RAW or suffix in _NOT_READ


def is_raw(name: str) -> bool:
    """Whether a file is camera raw, of which Pillow would read only the thumbnail."""
    return suffix_of(name) in _RAW


def why_not_read(name: str) -> str:
    """Why a picture of this name cannot be read and what to do; empty if it can."""
    suffix = suffix_of(name)
    if suffix in _RAW:
        return "camera raw is not read: develop it to JPEG, PNG or TIFF"
    if suffix in _NOT_READ:
        return f"{suffix} is not a format that is read: export it as PNG or JPEG"
    return _missing_support(_FORMAT_OF.get(suffix, ""))


def why_unknown(name: str, data: bytes) -> str:
    """Why a file is in none of the readable formats, by its first bytes and name."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and not _has_heif():
        return _NO_HEIF
    if data.startswith(_JXL_SIGNATURES):
        return why_not_read("x.jxl")
    if suffix_of(name) in _VIDEO:
        return "a video: give single pictures of it, as ffmpeg writes them"
    return why_not_read(name) or "not a picture, or of a format that is not supported"


def formats_for(name: str, data: bytes) -> list[str]:
    """Pillow's names of the formats to try on a file, in order.

    Args:
      name: Name of the file.
      data: Content of the file, or its first 16 bytes.
    """
    Image.init()
    # The plug-in is loaded when the first file of its kind of container is read.
    heif = data[4:8] == b"ftyp" and _has_heif()
    tried = [name for name in _READ if name in Image.OPEN and (name != "HEIF" or heif)]
    return [*tried, "TGA"] if suffix_of(name) == _TGA else tried


def _missing_support(format: str) -> str:
    if format == "HEIF":
        return "" if _has_heif() else _NO_HEIF
    if format in _FEATURES and not features.check(_FEATURES[format]):
        return f"this Pillow was built without {format}: pip install --upgrade pillow"
    return ""


@functools.cache
def _has_heif() -> bool:
    """Makes Pillow read HEIC if the plug-in is installed; may be called repeatedly."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
