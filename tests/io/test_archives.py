"""Archives are unpacked whole, and only into their folder."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.io import archives
from workbench.io.archives import open_decompressed, unpack

FILES = {"a/one.txt": b"1" * 5000, "a/b/two.txt": b"", "three.txt": b"three"}


def make_zip(path, files, links=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
        for name, target in links:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o120777 << 16
            file.writestr(entry, target)
    return path


def make_tar(path, files, *entries):
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as file:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
        for entry in entries:
            file.addfile(entry)
    return path


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left_over(folder, *known):
    return sorted(p.name for p in folder.iterdir() if p.name not in known)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_every_kind_comes_out_whole(tmp_path, name):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, FILES)
    updates = []
    unpack(archive, tmp_path / "out", updates.append)
    assert tree(tmp_path / "out") == FILES
    assert updates[-1].done == 5005
    assert left_over(tmp_path) == sorted(["out", name])


def test_a_single_compressed_file_is_extracted(tmp_path):
    archive = tmp_path / "digits.idx.gz"
    archive.write_bytes(gzip.compress(b"content"))
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"digits.idx": b"content"}


def test_the_kind_comes_from_the_content(tmp_path):
    archive = make_zip(tmp_path / "x.tar.gz", FILES)
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


EVIL = ["../out.txt", "/etc/evil.txt", "a/../../out.txt", "..", "a\\..\\b"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_lead_out_are_refused(tmp_path, name, kind):
    archive = (make_zip if kind == "zip" else make_tar)(tmp_path / f"x.{kind}", {"good": b"", name: b"evil"})
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="outside the folder") as error:
        unpack(archive, tmp_path / "in" / "out")
    assert "\n" not in str(error.value)
    assert left_over(tmp_path, "in", archive.name) == left_over(tmp_path / "in") == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    entry = tarfile.TarInfo("thing")
    entry.type, entry.linkname = kind, "/etc/passwd"
    archive = make_tar(tmp_path / "x.tar", {"good": b"1"}, entry)
    with pytest.raises(UserError, match="a link or a device"):
        unpack(archive, tmp_path / "out")
    assert left_over(tmp_path) == ["x.tar"]


def test_links_in_a_zip_are_refused(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {}, [("link", "/etc/passwd")])
    with pytest.raises(UserError, match="a link or a device"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.gz"])
def test_bombs_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(archives, "RATIO_FROM", 2_000_000)
    archive = tmp_path / name
    content = b"\0" * 3_000_000
    if name == "x.gz":
        archive.write_bytes(gzip.compress(content))
    else:
        (make_zip if name == "x.zip" else make_tar)(archive, {"zeros": content})
    updates = []
    with pytest.raises(UserError, match="was rejected: unpacked it exceeds"):
        unpack(archive, tmp_path / "out", progress=updates.append)
    assert bool(updates) == (name != "x.zip")  # a zip's own table says so before anything is written
    assert left_over(tmp_path) == [name]


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar", "x.gz"])
def test_cut_archives_are_named_and_leave_nothing(tmp_path, name):
    archive = tmp_path / name
    if name == "x.gz":
        archive.write_bytes(gzip.compress(os.urandom(5000)))
    else:
        (make_zip if name == "x.zip" else make_tar)(archive, {"a": os.urandom(5000), "b": b"2"})
    archive.write_bytes(archive.read_bytes()[:2500])
    with pytest.raises(UserError, match=name) as error:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert left_over(tmp_path) == [name]


def test_unpacking_can_be_cancelled(tmp_path):
    archive = make_tar(tmp_path / "x.tar", FILES)
    with pytest.raises(Cancelled):
        unpack(archive, tmp_path / "out", cancelled=lambda: True)
    assert left_over(tmp_path) == ["x.tar"]


def test_existing_files_are_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="already exists"):
        unpack(make_tar(tmp_path / "x.tar", FILES), tmp_path / "out")


def test_a_plain_file_reads_as_it_is(tmp_path):
    (tmp_path / "plain").write_bytes(b"plain")
    with open_decompressed(tmp_path / "plain") as file:
        assert file.read() == b"plain"
    with pytest.raises(UserError, match="No such file"):
        open_decompressed(tmp_path / "missing")
