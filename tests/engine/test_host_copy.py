from __future__ import annotations

import torch

from workbench.engine.host_copy import HostCopy


def test_a_copy_is_independent_of_the_original() -> None:
    original = {"a": [torch.zeros(2)], "b": (1, None), 3: torch.zeros(2, dtype=torch.int64)}
    copy = HostCopy().copy(original)
    original["a"][0].add_(1)
    assert copy["a"][0].tolist() == [0, 0]
    assert copy["b"] == [1, None]
    assert copy[3].dtype == torch.int64


def test_the_next_copy_reuses_the_buffers() -> None:
    copies, weight = HostCopy(), torch.zeros(4, requires_grad=True)
    first = copies.copy({"w": weight})["w"]
    with torch.no_grad():
        weight.add_(1)
    second = copies.copy({"w": weight})["w"]
    assert second.data_ptr() == first.data_ptr()
    assert second.tolist() == [1.0] * 4
    assert not second.requires_grad


def test_changed_shapes_and_dtypes_get_new_buffers() -> None:
    copies = HostCopy()
    copies.copy({"w": torch.zeros(4)})
    assert copies.copy({"w": torch.ones(2, 3)})["w"].tolist() == [[1.0] * 3] * 2
    assert copies.copy({"w": torch.ones(2, 3, dtype=torch.float64)})["w"].dtype == torch.float64


def test_only_the_elements_of_a_view_are_copied() -> None:
    whole = torch.arange(10.0)
    copy = HostCopy().copy([whole[2:4]])[0]
    assert copy.tolist() == [2.0, 3.0]
    assert copy.untyped_storage().nbytes() == 8
