from __future__ import annotations

import torch

from workbench.engine.host_copy import Copies


def test_copies_do_not_follow_the_original() -> None:
    original = {"a": [torch.zeros(2)], "b": (1, None), 3: torch.zeros(2, dtype=torch.int64)}
    copy = Copies().take(original)
    original["a"][0].add_(1)
    assert copy["a"][0].tolist() == [0, 0]
    assert copy["b"] == [1, None]
    assert copy[3].dtype == torch.int64


def test_the_next_copy_takes_the_same_memory() -> None:
    copies, weight = Copies(), torch.zeros(4, requires_grad=True)
    first = copies.take({"w": weight})["w"]
    with torch.no_grad():
        weight.add_(1)
    second = copies.take({"w": weight})["w"]
    assert second.data_ptr() == first.data_ptr()
    assert second.tolist() == [1.0] * 4
    assert not second.requires_grad


def test_what_changed_its_form_is_copied_anew() -> None:
    copies = Copies()
    copies.take({"w": torch.zeros(4)})
    assert copies.take({"w": torch.ones(2, 3)})["w"].tolist() == [[1.0] * 3] * 2
    assert copies.take({"w": torch.ones(2, 3, dtype=torch.float64)})["w"].dtype == torch.float64


def test_only_what_is_asked_for_is_copied_of_a_view() -> None:
    whole = torch.arange(10.0)
    copy = Copies().take([whole[2:4]])[0]
    assert copy.tolist() == [2.0, 3.0]
    assert copy.untyped_storage().nbytes() == 8
