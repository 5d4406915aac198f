from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench.core.errors import UserError
from workbench.io import torch_files
from workbench.io.weight_shapes import mismatch_reason

CONTENT = {
    "model": {"a": torch.arange(3.0), "b": torch.ones(2, 2, dtype=torch.bfloat16).T},
    "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.999)}]},
    "random": torch.get_rng_state(),
    "step": 7,
}


class Evil:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.proof}'",)


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        torch_files.load_checkpoint(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_saved_objects_are_loaded_equal(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "ckpt.pt"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=zipped)
    content = torch_files.load_checkpoint(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert torch.equal(content["model"]["b"], CONTENT["model"]["b"])
    assert torch.equal(content["random"], CONTENT["random"])
    assert content["step"] == 7 and content["optimizer"]["param_groups"] == [{"betas": (0.9, 0.999)}]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    path, proof = tmp_path / "ckpt.pt", tmp_path / "executed"
    torch.save({"model": Evil(proof)}, path, _use_new_zipfile_serialization=zipped)
    refused(path, "without executing anything: it contains posix.system")
    assert not proof.exists()


def test_a_plain_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    path, proof = tmp_path / "ckpt.pt", tmp_path / "executed"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Evil(proof), protocol))
        refused(path, "refused|corrupt")
    assert not proof.exists()


def test_lazy_layers_that_never_ran_are_named(tmp_path: Path) -> None:
    torch.save(nn.LazyLinear(2).state_dict(), tmp_path / "lazy.pt")
    refused(tmp_path / "lazy.pt", "lazy layers without weights.* save it after one")


def test_a_whole_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "m.pt")
    refused(tmp_path / "m.pt", r"Linear.*or model\.state_dict\(\) of a whole model")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "not list")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good, path = tmp_path / "good.pt", tmp_path / "ckpt.pt"
    path.write_bytes(b"")
    refused(path, "is empty")
    path.write_text("no checkpoint at all")
    refused(path, "is not a checkpoint: it was not written by torch.save or safetensors")
    for zipped in (True, False):
        torch.save(CONTENT, good, _use_new_zipfile_serialization=zipped)
        for cut in (10, len(good.read_bytes()) // 2, len(good.read_bytes()) - 3):
            path.write_bytes(good.read_bytes()[:cut])
            refused(path, "corrupt, truncated|rejected")


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    torch.save(CONTENT, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"corrupt \(SHA-256 mismatch\)"):
        torch_files.load_checkpoint(path, digest)


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pt")
    (tmp_path / "link.pt").symlink_to("/dev/zero")
    (tmp_path / "folder.pt").mkdir()
    for name in ("fifo.pt", "link.pt", "folder.pt", "none.pt"):
        refused(tmp_path / name, "is not a regular file|can't be read")


def patched(path: Path, old: bytes, new: bytes) -> None:
    """A checkpoint of one small tensor whose pickle is changed."""
    torch.save({"a": torch.ones(3)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            assert not name.endswith("data.pkl") or old in data
            archive.writestr(name, data.replace(old, new, 1) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"K\x03tq", b"J\xff\xff\xff\x3ftq", "claims 4,294,967,292 bytes, the file has 12"),
        (b"K\x00K\x03\x85", b"K\x00J\xff\xff\xff\x3f\x85", "claims more than the 3 values"),
        (b"K\x00K\x03\x85", b"J\xff\xff\xff\x3fK\x03\x85", "claims more than the 3 values"),
    ],
)
def test_a_small_file_that_claims_a_huge_tensor(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    patched(tmp_path / "ckpt.pt", old, new)
    refused(tmp_path / "ckpt.pt", message)


def test_a_small_file_of_the_old_format_that_claims_a_huge_tensor(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"K\x03Nt" in data
    path.write_bytes(data.replace(b"K\x03Nt", b"J\xff\xff\xff\x3fNt"))
    refused(path, "claim 4,294,967,292 bytes")


def test_calls_that_would_make_something_huge(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    for call in (Call(torch.Tensor, 10**6, 10**5), Call(bytearray, 10**11)):
        torch.save({"a": call}, path)
        refused(path, "asks for .* of 100,000,000,000 elements")


def test_an_archive_that_unpacks_to_more_than_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    torch.save({"a": torch.zeros(10_000)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused(path, "unpacked it would have")


def test_a_view_and_an_expanded_tensor_are_accepted(tmp_path: Path) -> None:
    torch.save({"view": torch.arange(9)[2:4], "wide": torch.ones(1).expand(10**6)}, tmp_path / "ckpt.pt")
    content = torch_files.load_checkpoint(tmp_path / "ckpt.pt")
    assert content["view"].tolist() == [2, 3] and content["wide"].shape == (10**6,)


def test_every_table_of_tensors_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    state = {"a": torch.ones(2), "b": torch.zeros(1)}
    torch.save({"model": state, "epoch": 3, "callbacks": {"ema": {"weights": state}}, "lr": torch.ones(())},
               tmp_path / "w.pth")  # fmt: skip
    tables = torch_files.load_weight_tables(tmp_path / "w.pth")
    assert {place: sorted(table) for place, table in tables.items()} == {
        "": ["lr"], "model": ["a", "b"], "callbacks.ema.weights": ["a", "b"],
    }  # fmt: skip


def test_a_checkpoint_without_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="contains no weights"):
        torch_files.load_weight_tables(tmp_path / "w.pth")


def test_mismatched_tensors_are_listed_in_one_line() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 3))
    state = {k: v for k, v in module.state_dict().items() if k not in {"0.bias", "1.num_batches_tracked"}}

    def reason(ignored: Sequence[str] = ()) -> str:
        return mismatch_reason(
            torch_files.shapes_of(state), torch_files.shapes_of(module.state_dict()), ignored
        )

    assert reason() == "missing 0.bias"
    state |= {"0.bias": torch.ones(5), "more": torch.ones(1), "2.weight": torch.ones(9, 2)}
    assert reason() == (
        "unexpected more; shapes differ 0.bias is 5, expected 2, 2.weight is 9×2, expected 3×2"
    )
    assert "2.weight" not in reason(["2"])
    with pytest.raises(UserError, match=r"the weights in w\.pth do not fit the model: unexpected more"):
        torch_files.load_into(module, state, "w.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    state = {key: tensor + 1 for key, tensor in before.items()}
    state[name].view(-1)[1] = value
    with pytest.raises(UserError, match=rf"w\.pth has NaN or infinite weights in {name}, .*use another copy"):
        torch_files.load_into(module, state, "w.pth")
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())


def test_an_attention_mask_may_be_infinite_but_not_nan() -> None:
    module = nn.Linear(2, 1)
    module.register_buffer("mask", torch.zeros(2))
    mask = torch.tensor([0.0, float("-inf")])
    torch_files.load_into(module, {**module.state_dict(), "mask": mask}, "w.pth")
    assert torch.equal(module.get_buffer("mask"), mask)
    with pytest.raises(UserError, match="weights in mask"):
        torch_files.load_into(module, {**module.state_dict(), "mask": mask * 0}, "w.pth")


def test_safetensors_are_loaded(tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "w.safetensors"
    save({"a": torch.ones(2)}, path)
    assert torch_files.load_weight_tables(path)[""]["a"].tolist() == [1, 1]
    path.write_bytes((10**9).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(UserError, match="its header of 1,000,000,000 bytes"):
        torch_files.load_weight_tables(path)


def test_a_full_disk_is_not_hidden_behind_what_torch_makes_of_it() -> None:
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", 4096)
    with pytest.raises(
        OSError, match="No space left"
    ):  # its first bytes fit into the buffer, a tensor does not
        torch_files.save({"model": torch.zeros(4096)}, full)
    with contextlib.suppress(OSError):
        full.close()
