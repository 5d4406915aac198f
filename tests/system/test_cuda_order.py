"""Which GPUs CUDA uses, by `CUDA_VISIBLE_DEVICES` and its order."""

from __future__ import annotations

import pytest
import torch.cuda

from workbench.system.cuda_order import short_uuid, visible_gpus
from workbench.system.nvml import Gpu

UUIDS = ("GPU-aa11", "GPU-aa22", "GPU-bb33", "GPU-cc44")


def gpu(index: int, **changed: object) -> Gpu:
    values = {"uuid": UUIDS[index % 4], "name": "H100", "memory_total": 80, "memory_free": 80}
    return Gpu(index=index, **{**values, **changed})  # type: ignore[arg-type]


FOUR = [gpu(index) for index in range(4)]


def seen(value: str | None, gpus: list[Gpu] = FOUR, **variables: str) -> list[str]:
    environment = variables if value is None else {"CUDA_VISIBLE_DEVICES": value, **variables}
    return [one.uuid for one in visible_gpus(gpus, environment).gpus]


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("2", [2]),
        ("2,0", [2, 0]),
        (" 1 , 3 ", [1, 3]),
        ("1gpu2,2ampere", [1, 2]),
        ("0,-1,2", [0]),
        ("-1", []),
        ("-1,0", []),
        ("", []),
        ("none", []),
        ("0,9,1", [0]),
        ("9", []),
        ("0,,1", [0]),
        ("1,1", []),
        ("0,1,0", []),
        ("0,-1,0", [0]),
        ("GPU-bb33", [2]),
        ("GPU-b,GPU-aa1", [2, 0]),
        ("GPU-aa", []),
        ("GPU-cc44,GPU-aa,GPU-bb33", [3]),
        ("GPU-cc44,GPU-cc44", []),
        ("GPU-cc44,GPU-cc", []),
        ("GPU-cc44,0", [3]),
        ("0,GPU-cc44", [0]),
        ("GPU-zz,GPU-cc44", []),
    ],
)
def test_the_list_ends_at_the_first_name_that_cuda_cannot_use(value: str, indices: list[int]) -> None:
    assert seen(value) == [UUIDS[index] for index in indices]
    assert _by_torch(value) == indices  # torch counts devices by the same rule
    complete = len(indices) == len(value.split(","))
    assert bool(visible_gpus(FOUR, {"CUDA_VISIBLE_DEVICES": value}).problem) != complete


def _by_torch(value: str) -> list[int]:
    """The indices that torch derives from the variable, before CUDA is initialized."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", value)
        names = torch.cuda._parse_visible_devices()
    if names and isinstance(names[0], str):
        return list(torch.cuda._transform_uuid_to_ordinals(names, list(UUIDS)))  # type: ignore[arg-type]
    kept: list[int] = []
    for number in names:
        if int(number) >= len(UUIDS):
            break
        kept.append(int(number))
    return kept


def test_all_gpus_are_visible_without_the_variable() -> None:
    assert seen(None) == list(UUIDS)


def test_cuda_numbers_different_models_by_speed_by_default() -> None:
    mixed = [gpu(0, name="T4", speed=4), gpu(1, name="H100", speed=30), gpu(2, name="A100", speed=10)]
    assert seen(None, mixed) == [UUIDS[1], UUIDS[2], UUIDS[0]]
    assert seen("0", mixed) == [UUIDS[1]]
    assert seen("0", mixed, CUDA_DEVICE_ORDER="PCI_BUS_ID") == [UUIDS[0]]
    same = [gpu(0, speed=29), gpu(1, speed=30)]  # of one model: by PCI address
    assert seen(None, same) == list(UUIDS[:2])


MIG = [
    gpu(0),
    gpu(1, is_partitioned=True),
    gpu(1, uuid="MIG-1111", parent=UUIDS[1], instance="MIG-GPU-aa22/1/0"),
    gpu(1, uuid="MIG-2222", parent=UUIDS[1], instance="MIG-GPU-aa22/2/0"),
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [UUIDS[0]]),
        ("MIG-2222", ["MIG-2222"]),
        ("MIG-2", ["MIG-2222"]),
        ("MIG-GPU-aa22/2/0", ["MIG-2222"]),
        ("MIG-1111,MIG-2222", ["MIG-1111"]),
        ("MIG-9", []),
        ("1", ["MIG-1111"]),
        ("GPU-aa22", ["MIG-1111"]),
        ("0,1", [UUIDS[0]]),
        ("2", []),
    ],
)
def test_cuda_uses_one_mig_slice_at_a_time(value: str | None, expected: list[str]) -> None:
    assert seen(value, MIG) == expected


def test_only_slices_are_left_where_every_gpu_is_partitioned() -> None:
    assert seen(None, MIG[1:]) == ["MIG-1111"]


def test_a_short_uuid_names_one_gpu_only() -> None:
    long = [gpu(n, uuid=f"GPU-12345678-{tail}") for n, tail in enumerate(("aaaa-1", "aaab-1", "b"))]
    assert [short_uuid(one, long) for one in long] == [
        "GPU-12345678-aaaa",
        "GPU-12345678-aaab",
        "GPU-12345678-b",
    ]
    assert short_uuid(gpu(0, uuid="GPU-12345678-aaaa"), FOUR) == "GPU-12345678"
