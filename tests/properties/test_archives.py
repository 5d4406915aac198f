"""Whatever an archive holds: it comes out whole in its folder, or nothing of it does."""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import UserError
from workbench.io.archives import unpack

PARTS = st.sampled_from(
    ["a", "b", "c.txt", ".", "..", "", "\\", "x\0y", "é", "a\\..\\..", "~", "C:"]
) | st.text(st.characters(codec="utf-8"), max_size=4)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TAR_KINDS = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
)
ZIP_KINDS = (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK)
Member = tuple[str, int, bytes]
"""A name (`OUTSIDE` in it is the path of a folder beside), the place of a kind among those above, and the content."""
OUTSIDE = "OUTSIDE"
FEWER = settings(max_examples=60)
"""Each example writes folders."""


def members(kinds: st.SearchStrategy[int]) -> st.SearchStrategy[list[Member]]:
    names = NAMES | NAMES.map(f"{OUTSIDE}/{{}}".format)
    return st.lists(st.tuples(names, kinds, st.binary(max_size=40)), min_size=1, max_size=5)


def write_tar(path: Path, content: list[Member]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, data in content:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = TAR_KINDS[kind], "../../outside"
            entry.size = len(data) if kind == 0 else 0
            archive.addfile(entry, io.BytesIO(data))


def write_zip(path: Path, content: list[Member]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, kind, data in content:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name  # past what the constructor mends
            entry.external_attr = (ZIP_KINDS[kind] | 0o644) << 16
            with warnings.catch_warnings(
                action="ignore", category=UserWarning
            ):  # names that stand there twice
                archive.writestr(entry, data)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the content of files, `None` for folders. Nothing in it is a link or a device."""
    found: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        kind = path.lstat().st_mode
        assert stat.S_ISREG(kind) or stat.S_ISDIR(kind), path
        found[str(path.relative_to(folder))] = path.read_bytes() if stat.S_ISREG(kind) else None
    return found


def outcome(place: Path, archive: Path) -> dict[str, bytes | None] | None:
    """What came out of an archive, after checking that nothing else did; `None` where it was refused."""
    before = tree(place)
    target = place / "in" / "out"
    try:
        unpack(archive, target)
    except UserError as error:
        assert "\n" not in str(error)
        assert tree(place) == before
        return None
    inside = tree(target)
    assert tree(place) == {
        **before,
        "in/out": None,
        **{f"in/out/{name}": data for name, data in inside.items()},
    }
    return inside


def laid_out(place: Path) -> Path:
    """Where an archive goes, with a folder beside that nothing may be written to."""
    (place / "in").mkdir()
    (place / "outside").mkdir()
    return place / "in" / "archive"


@FEWER
@given(members(st.integers(0, len(TAR_KINDS) - 1)))
def test_members_of_a_tar_stay_in_its_folder(content: list[Member]) -> None:
    check(content, zipped=False)


@FEWER
@given(members(st.integers(0, len(ZIP_KINDS) - 1)))
def test_members_of_a_zip_stay_in_its_folder(content: list[Member]) -> None:
    check(content, zipped=True)


def check(content: list[Member], *, zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        archive = laid_out(place)
        content = [
            (name.replace(OUTSIDE, str(place / "outside")), kind, data) for name, kind, data in content
        ]
        try:
            (write_zip if zipped else write_tar)(archive, content)
        except (ValueError, UnicodeError):
            return  # not every name can be written
        inside = outcome(place, archive)
        if inside is not None:
            assert {data for data in inside.values() if data} <= {data for _, _, data in content}


@FEWER
@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?\.txt", fullmatch=True), st.binary(max_size=200)),
                min_size=1, max_size=4, unique_by=lambda member: member[0]), st.booleans(), st.data())  # fmt: skip
def test_a_damaged_archive_is_refused_or_comes_out(
    content: list[tuple[str, bytes]], zipped: bool, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        archive = laid_out(place)
        (write_zip if zipped else write_tar)(archive, [(name, 0, each) for name, each in content])
        sound = archive.read_bytes()
        assert outcome(place, archive) is not None
        unpacked = place / "in" / "out"
        unpacked.rename(place / "outside" / "sound")
        at = data.draw(st.integers(0, len(sound) - 1))
        archive.write_bytes(
            sound[:at] + data.draw(st.binary(max_size=8)) + sound[at + data.draw(st.integers(0, 8)) :]
        )
        outcome(place, archive)
