"""Which files of a folder are images, and which are passed over: one rule for training, the screen and `classify`.

Files are judged by name, and by their first bytes where the name says nothing. Imports neither torch nor Pillow.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from workbench.core.progress import CancelCheck, Cancelled, never_cancelled

IMAGE_EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".bmp", ".dib", ".webp", ".avif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".jp2", ".j2k", ".pcx", ".sgi", ".rgb", ".qoi",
)  # fmt: skip
"""File name extensions, in lower case, of the formats that `io.images` opens."""

UNREADABLE_FORMATS = {
    "HEIC": (".heic", ".heif", ".hif"),
    "camera raw": (
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
        ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    ),
    "Photoshop": (".psd", ".psb"),
    "vector": (".svg", ".svgz", ".eps", ".ai", ".emf", ".wmf"),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr", ".wdp"),
    "high dynamic range": (".exr", ".hdr"),
    "Targa": (".tga",),
    "DICOM": (".dcm", ".dicom"),
    "FITS": (".fits", ".fit"),
    "texture": (".dds", ".ktx", ".ktx2"),
    "GIMP": (".xcf",),
    "Krita": (".kra",),
}  # fmt: skip
"""Extensions of image formats that are not read here, by the name of the format."""

_FORMAT_OF_EXTENSION = {
    extension: name for name, extensions in UNREADABLE_FORMATS.items() for extension in extensions
}

_OTHER_EXTENSIONS = frozenset(
    {
        "7z", "aac", "avi", "bak", "bin", "bz2", "c", "cfg", "ckpt", "conf", "cpp", "csv", "dat", "db", "doc",
        "docx", "feather", "flac", "gz", "h", "h5", "hdf5", "html", "ini", "ipynb", "joblib", "js", "json",
        "jsonl", "keras", "labels", "lock", "log", "lst", "m4v", "mat", "md", "mkv", "mov", "mp3", "mp4", "mpg",
        "names", "npy", "npz", "odt", "onnx", "parquet", "pb", "pdf", "pickle", "pkl", "ppt", "pptx", "pt",
        "pth", "py", "pyc", "rar", "rtf", "safetensors", "sh", "sql", "tar", "tfevents", "tflite", "tfrecord",
        "tgz", "toml", "torrent", "tsv", "txt", "url", "wav", "webm", "xls", "xlsx", "xml", "xz", "yaml", "yml",
        "zip", "zst",
    }
)  # fmt: skip
"""Extensions of files that are certainly not images; their content is not examined."""

_JUNK_FOLDERS = frozenset(
    {
        "__macosx",
        "@eadir",
        "__pycache__",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "node_modules",
        "site-packages",
        "venv",
        "lost+found",
    }
)
_JUNK_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_READABLE_STARTS = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif",
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
_UNREADABLE_STARTS = (
    (b"8BPS", "Photoshop"), (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"v/1\x01", "high dynamic range"),
    (b"#?RADIANCE", "high dynamic range"), (b"DDS ", "texture"), (b"gimp xcf", "GIMP"), (b"SIMPLE  =", "FITS"),
    (b"FUJIFILMCCD-RAW", "camera raw"), (b"IIRO", "camera raw"), (b"IIU\0", "camera raw"),
)  # fmt: skip
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"})
SNIFFED_BYTES = 32
"""As many bytes as `sniff_format` needs."""
_SIGNED_EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".webp", ".avif", ".tif", ".tiff", ".qoi",
)  # fmt: skip
_MAX_DEPTH = 64

NOT_AN_IMAGE = "?"
"""The result of `sniff_format` for what is not an image."""

OUTSIDE_REASON = "a link to a path outside the folder"
"""Why a link is not followed."""

BROKEN_LINK = "a broken link"
"""Why a link without a target is skipped."""


class FileKind(Enum):
    """What a file is, judged by its name."""

    IMAGE = "image"
    UNREADABLE_IMAGE = "unreadable image"
    """An image in a format that is not read here."""
    UNKNOWN = "unknown"
    """The name does not say; the content decides."""
    OTHER = "other"
    """Not an image."""
    JUNK = "junk"
    """Left by an operating system or a program; not worth mentioning."""


def file_kind(name: str) -> FileKind:
    """What a file is, judged by its name alone."""
    lower = name.lower()
    if name.startswith(".") or lower in _JUNK_FILES or lower.endswith("~"):
        return FileKind.JUNK
    extension = os.path.splitext(lower)[1]
    if extension in IMAGE_EXTENSIONS:
        return FileKind.IMAGE
    if extension in _FORMAT_OF_EXTENSION:
        return FileKind.UNREADABLE_IMAGE
    return FileKind.OTHER if extension[1:] in _OTHER_EXTENSIONS else FileKind.UNKNOWN


def is_junk_folder(name: str) -> bool:
    """Whether a folder is hidden, or left by an operating system or a program."""
    return name.startswith(".") or name.lower() in _JUNK_FOLDERS


def sniff_format(start: bytes) -> str:
    """The format of an image by the first bytes of its file.

    Empty for one that can be read, `NOT_AN_IMAGE` for anything but an image.
    """
    if start[8:10] == b"CR" and start[:4] == b"II*\0":
        return "camera raw"
    if start.startswith(_READABLE_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return ""
    if start[:2] == b"BM" and start[6:10] == b"\0\0\0\0":
        return ""
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return ""
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand in {b"avif", b"avis"}:
            return ""
        return "HEIC" if brand in _HEIC_BRANDS else "camera raw" if brand == b"crx " else NOT_AN_IMAGE
    return next((name for magic, name in _UNREADABLE_STARTS if start.startswith(magic)), NOT_AN_IMAGE)


def unreadable_reason(format_name: str) -> str:
    """Why an image in a format that is not read here is skipped, to follow `is`."""
    return f"in {format_name} format, which can't be read here: convert to PNG or JPEG"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file that was found: its path, and the facts that identify its content on this machine."""

    path: str
    size: int
    modified_ns: int
    """Modification time, in nanoseconds."""


@dataclass(slots=True, eq=False)
class FolderTree:
    """The content of a folder: its images sorted by name, its subfolders sorted by name, and what was passed over."""

    path: str
    images: list[ImageFile] = field(default_factory=list)
    folders: list[FolderTree] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Images, links and folders that can't be used: path and reason. The folder itself, if it could not be listed."""
    others: Counter[str] = field(default_factory=Counter)
    """Number of files that are not images, by extension (`.txt`, or `no extension`)."""
    modified_ns: int = 0
    """Modification time of the folder, in nanoseconds; it changes when a file is added, removed or renamed."""
    outside: bool = False
    """Whether it is a link to a path outside of the root, which was not followed."""

    @property
    def name(self) -> str:
        """The name of the folder."""
        return os.path.basename(self.path)

    def walk(self) -> Iterator[FolderTree]:
        """This folder, then everything below it, in the order of their names."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def all_images(self) -> Iterator[ImageFile]:
        """The images in this folder, then those of its subfolders."""
        return (image for folder in self.walk() for image in folder.images)

    def all_skipped(self) -> list[tuple[str, str]]:
        """Everything that was skipped below this folder."""
        return [item for folder in self.walk() for item in folder.skipped]

    def all_others(self) -> Counter[str]:
        """Number of files below this folder that are not images, by extension."""
        return sum((folder.others for folder in self.walk()), Counter())

    @property
    def has_images(self) -> bool:
        """Whether there is an image in this folder or below it."""
        return bool(self.images) or any(folder.has_images for folder in self.folders)


def read_tree(
    root: Path, *, follow_all: bool = False, cancelled: CancelCheck = never_cancelled
) -> FolderTree:
    """List the images in `root` and below, without opening those whose names say what they are.

    Links to files and folders within `root` are followed, with `follow_all` also those to other places; a folder that
    contains the link, or that the same link chain has visited, is not entered again. Raises `Cancelled`.
    """
    return _TreeReader(root, follow_all, cancelled).read(str(root), (os.path.realpath(root),))


class _TreeReader:
    def __init__(self, root: Path, follow_all: bool, cancelled: CancelCheck) -> None:
        self._real_root = os.path.realpath(root)
        self._follow_all = follow_all
        self._cancelled = cancelled

    def read(self, path: str, chain: tuple[str, ...]) -> FolderTree:
        """The tree of a folder; `chain`: the real paths of the folders that it was reached through, and its own."""
        if self._cancelled():
            raise Cancelled
        tree, folders = FolderTree(path), []
        try:
            tree.modified_ns = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            tree.skipped.append((path, f"can't be read: {error.strerror}"))
            return tree
        for entry in found:
            if entry.is_dir():
                if not is_junk_folder(entry.name):
                    folders.append(entry)
            else:
                self._add_file(entry, tree)
        for entry in folders:
            self._add_folder(entry, tree, chain)
        return tree

    def _add_folder(self, entry: os.DirEntry[str], tree: FolderTree, chain: tuple[str, ...]) -> None:
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(chain[-1], entry.name)
        if entry.is_symlink() and not self._may_follow(real):
            tree.folders.append(FolderTree(entry.path, skipped=[(entry.path, OUTSIDE_REASON)], outside=True))
        elif any(path == real or path.startswith(real + os.sep) for path in chain):
            tree.skipped.append((entry.path, "a link to a folder that contains it"))
        elif len(chain) >= _MAX_DEPTH:
            tree.skipped.append((entry.path, f"folders are nested more than {_MAX_DEPTH} deep"))
        else:
            tree.folders.append(self.read(entry.path, (*chain, real)))

    def _add_file(self, entry: os.DirEntry[str], tree: FolderTree) -> None:
        kind = file_kind(entry.name)
        if kind is FileKind.JUNK:
            return
        result = None if kind is FileKind.OTHER else self._examine(entry.path, entry.is_symlink())
        if isinstance(result, ImageFile):
            tree.images.append(result)
        elif result == BROKEN_LINK:  # also without an extension: it may have been a folder, even a class
            tree.skipped.append((entry.path, result))
        elif result is None or (kind is FileKind.UNKNOWN and sniff_file(entry.path) == NOT_AN_IMAGE):
            tree.others[os.path.splitext(entry.name)[1].lower() or "no extension"] += 1
        else:
            tree.skipped.append((entry.path, result))

    def _examine(self, path: str, is_link: bool) -> ImageFile | str:
        if is_link and os.path.exists(path) and not self._may_follow(os.path.realpath(path)):
            return OUTSIDE_REASON
        return examine_file(path)

    def _may_follow(self, real: str) -> bool:
        return self._follow_all or (real + os.sep).startswith(self._real_root.rstrip(os.sep) + os.sep)


def examine_file(path: str) -> ImageFile | str:
    """The image file at `path` (a link is followed), or why it is skipped."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return BROKEN_LINK if os.path.islink(path) else "missing"
    except (OSError, ValueError) as error:  # ValueError: a list names a path with a NUL character
        return f"can't be read: {getattr(error, 'strerror', error)}"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if not status.st_size:
        return "empty"
    return _format_reason(path) or ImageFile(path, status.st_size, status.st_mtime_ns)


def _format_reason(path: str) -> str:
    """Why the format of a file is not readable here; empty for a readable one. Opens files with unknown names only."""
    extension = os.path.splitext(path)[1].lower()
    if extension in IMAGE_EXTENSIONS:
        return ""
    if extension in _FORMAT_OF_EXTENSION:
        return unreadable_reason(_FORMAT_OF_EXTENSION[extension])
    format_name = sniff_file(path)
    if format_name == NOT_AN_IMAGE:
        return "not an image"
    return unreadable_reason(format_name) if format_name else ""


def misnamed_reason(path: str) -> str:
    """Why a file with the name of an image is none that can be read; empty if it may be one.

    Judged by its first bytes, for names of formats that begin with a signature.
    """
    if not path.lower().endswith(_SIGNED_EXTENSIONS):
        return ""
    format_name = sniff_file(path)
    return "not an image" if format_name == NOT_AN_IMAGE else format_name and unreadable_reason(format_name)


def sniff_file(path: str) -> str:
    """As `sniff_format`, of a file; `NOT_AN_IMAGE` also if it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return sniff_format(file.read(SNIFFED_BYTES))
    except OSError:
        return NOT_AN_IMAGE
