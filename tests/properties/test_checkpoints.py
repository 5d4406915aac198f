"""Whatever a file of weights holds: nothing of it is executed, and it is read or refused in one line."""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import UserError
from workbench.io import torch_files
from workbench.io.weight_shapes import read_weight_shapes

EXECUTED: list[object] = []
"""What the functions below were called with: a pickle that names them must not get that far."""


def execute(*arguments: object) -> list[object]:
    """Code that a pickle would run."""
    EXECUTED.append(arguments)
    return []


class Reduced:
    """Pickled as a call of `execute`, by each of the ways that a pickle has for that."""

    def __init__(self, arguments: tuple[Any, ...], state: Any, items: list[Any]) -> None:
        self.reduced = execute, arguments, state, iter(items), iter([(item, item) for item in items if item])

    def __reduce__(self) -> Any:
        return self.reduced


class Executing(dict[str, Any]):
    """Pickled as a class whose instances are made from a state."""

    def __setstate__(self, state: Any) -> None:
        execute(state)


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
REDUCED = st.builds(
    Reduced,
    st.lists(PLAIN, max_size=3).map(tuple),
    st.none() | st.dictionaries(st.text(max_size=3), PLAIN, max_size=2),
    st.lists(st.integers(0, 3), max_size=2),
)
HOSTILE = (
    REDUCED
    | st.builds(Executing, a=PLAIN)
    | st.just(execute)
    | st.sampled_from([eval, exec, open, __import__])
)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers, with something hostile somewhere in them."""
    others = PLAIN | st.just(torch.zeros(2))
    return st.builds(
        lambda one, rest, at: [*rest[:at], one, *rest[at:]],
        inner,
        st.lists(others, max_size=2),
        st.integers(0, 2),
    ) | st.builds(lambda one, key: {key: one, "model": {}}, inner, st.text(max_size=3))


OPCODES = st.one_of(
    st.sampled_from([
        b"(", b"0", b"2", b"]", b"}", b")", b"t", b"l", b"d", b"a", b"e", b"s", b"u", b"R", b"b", b"o", b"Q", b"N",
        b"\x81", b"\x85", b"\x86", b"\x87", b"\x8f", b"\x90", b"\x91", b"\x92", b"\x93", b"\x94", b"\x88", b"\x89",
        b"ibuiltins\neval\n", b"cbuiltins\nexec\n", b"cos\nsystem\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n", b"ctorch\nSize\n", b"Pstorage\n", b"S'touch'\n",
        b"K\x05", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\x7f" * 8, b"q\x00", b"h\x00", b"r\xff\xff\xff\x7f",
        b"j\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8c\x07storage", b"\x8c\x02os", b"\x8c\x06system",
        b"\x82\x01", b"\x95\x08\0\0\0\0\0\0\0", b"\x97", b"\x98",
        b"c" + __name__.encode() + b"\nexecute\n",
    ]),
    st.binary(max_size=3),
)  # fmt: skip
PROGRAMS = st.builds(
    lambda start, codes: start + b"".join(codes) + b".",
    st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]),
    st.lists(OPCODES, max_size=30),
)


def zipped(pickled: bytes) -> bytes:
    """A checkpoint as torch writes it, with this pickle in it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in (
            ("data.pkl", pickled),
            ("byteorder", b"little"),
            ("data/0", bytes(64)),
            ("version", b"3\n"),
        ):
            archive.writestr(f"archive/{name}", content)
    return written.getvalue()


@cache
def saved(as_zip: bool) -> bytes:
    """A checkpoint that torch wrote: once, because it names storages by their addresses, which differ in length."""
    written = io.BytesIO()
    torch.save({"model": {"a": torch.arange(4.0)}, "step": 1}, written, _use_new_zipfile_serialization=as_zip)
    return written.getvalue()


def read(content: bytes) -> dict[str, Any] | None:
    """What is in a file of these bytes; `None` where it is refused. Nothing in it was executed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        path.write_bytes(content)
        EXECUTED.clear()
        with contextlib.suppress(UserError):
            read_weight_shapes(path)
        found = None
        try:
            found = torch_files.load_checkpoint(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        assert not EXECUTED
        return found


@given(around(HOSTILE), st.integers(0, pickle.HIGHEST_PROTOCOL), st.sampled_from([bytes, zipped]))
def test_calls_in_a_pickle_are_refused(content: Any, protocol: int, form: Callable[[bytes], bytes]) -> None:
    assert read(form(pickle.dumps(content, protocol))) is None


def test_the_same_pickles_are_executed_by_python_itself() -> None:
    EXECUTED.clear()
    pickle.loads(pickle.dumps([Reduced((1,), None, [])]))
    assert EXECUTED == [(1,)]


@given(PROGRAMS, st.sampled_from([bytes, zipped]))
def test_any_program_of_opcodes_is_read_or_refused(program: bytes, form: Callable[[bytes], bytes]) -> None:
    read(form(program))


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda some: b"PK\x03\x04" + some))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read(content)


@given(st.booleans(), st.data())
def test_a_damaged_checkpoint_is_read_or_refused(as_zip: bool, data: st.DataObject) -> None:
    sound = saved(as_zip)
    assert read(sound) is not None
    at = data.draw(st.integers(0, len(sound) - 1))
    read(sound[:at] + data.draw(st.binary(max_size=6)) + sound[at + data.draw(st.integers(0, 6)) :])


@given(
    st.binary(max_size=64) | st.binary(max_size=40).map(lambda some: len(some).to_bytes(8, "little") + some)
)
def test_any_safetensors_file_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(content)
        try:
            torch_files.load_weight_tables(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
