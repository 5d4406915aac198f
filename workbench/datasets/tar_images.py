"""Samples in tar archives, as WebDataset has them: files of one name with other extensions are one sample.

https://github.com/webdataset/webdataset
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from workbench.core.parsing import parse_json
from workbench.core.progress import CancelCheck, ProgressCallback
from workbench.datasets.file_options import PackedOptions
from workbench.datasets.split_names import parse_split_name
from workbench.datasets.table_columns import usual_names
from workbench.datasets.unpacked_images import ImageFolderWriter, UnpackedImage
from workbench.io.archives import read_tar
from workbench.io.image_files import IMAGE_EXTENSIONS

_LABEL_EXTENSIONS = ("cls", "label", "class", "lbl")
_JSON = "json"
_MAX_TEXT = 100_000
Sample = Mapping[str, bytes]
"""The contents of the files of a sample by extension, in lower case."""


def write_tar_images(
    shards: Sequence[Path],
    options: PackedOptions,
    writer: ImageFolderWriter,
    progress: ProgressCallback,
    cancelled: CancelCheck,
) -> None:
    """Write the images of some shards; samples without an image or a class are skipped. Raises `UserError`."""
    for number, shard in enumerate(shards):
        found = parse_split_name(shard.name.partition(".")[0])
        for key, sample in _samples(read_tar(shard, progress, cancelled)):
            extension = _image_extension(sample, options.image)
            label = _text(sample, options.label, _LABEL_EXTENSIONS, "label")
            if not extension or not label:
                reason = "no class" if extension else "no image"
                writer.skipped.append((f"{shard}: {key}", reason))
                continue
            content = sample[extension]
            path = f"{number:05}-{shard.name}/{key}.{extension}"
            group = _text(sample, options.group, (), "") if options.group else ""
            split = found.split if found else ""
            writer.add(
                UnpackedImage(path=path, label=label, size=len(content), split=split, group=group), content
            )


def _samples(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples by key, of files that follow each other: `a/01.jpg`, `a/01.cls` are the sample `a/01`."""
    current, sample = "", dict[str, bytes]()
    for name, content in files:
        path = PurePosixPath(name)
        stem, _, extension = path.name.partition(".")
        if not stem or not extension:
            continue
        key = str(path.with_name(stem))
        if key != current and sample:
            yield current, sample
            sample = {}
        current = key
        sample[extension.lower()] = content
    if sample:
        yield current, sample


def _image_extension(sample: Sample, wanted: str) -> str:
    if wanted:
        return wanted.lower().lstrip(".") if wanted.lower().lstrip(".") in sample else ""
    return next(
        (extension for extension in sample if f".{extension.rpartition('.')[2]}" in IMAGE_EXTENSIONS), ""
    )


def _text(sample: Sample, wanted: str, extensions: Sequence[str], what: str) -> str:
    """A value of a sample: the content of a file, or of a key in its `.json`; empty for none."""
    for extension in (wanted,) if wanted else extensions:
        if (content := sample.get(extension.lower().lstrip("."))) is not None:
            return content[:_MAX_TEXT].decode("utf-8", "replace").strip()
    try:
        values = parse_json(sample.get(_JSON, b"{}")[:_MAX_TEXT].decode("utf-8", "replace"))
    except ValueError:
        return ""
    names = (wanted,) if wanted else (*_LABEL_EXTENSIONS, *usual_names(what))
    found = next((values[name] for name in names if name in values), "") if isinstance(values, dict) else ""
    return "" if found is None or isinstance(found, dict | list) else str(found).strip()
