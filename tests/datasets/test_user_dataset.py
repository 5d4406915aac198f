"""A dataset from a user's Python file."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
import torch

from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load


@pytest.fixture
def custom(tmp_path):
    def loaded(code, options=None, **keywords):
        path = tmp_path / "data.py"
        path.write_text("import torch, numpy as np\nfrom PIL import Image\n" + textwrap.dedent(code))
        return load(Choice(f"{path}:make", options or {}), **keywords)

    return loaded


def test_a_pair_of_images(custom):
    data = custom(
        """
        def make(n=20):
            x = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8)
            y = torch.arange(n) % 4
            return (x, y), (x[:8], y[:8])
        """,
        {"n": 40},
        validation=0.1,
    )
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 8)
    assert data.task == "classification" and data.classes == ("0", "1", "2", "3")
    assert data.train.inputs.dtype == torch.uint8 and len(data.mean) == 3


def test_three_splits_of_arrays_with_channels_last(custom):
    data = custom(
        """
        def make():
            x = np.arange(20 * 5 * 4 * 3, dtype=np.uint8).reshape(20, 5, 4, 3)
            y = np.arange(20) % 2
            return (x, y), (x[:4], y[:4]), (x[:6], y[:6])
        """,
        validation=0.5,
    )
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 4, 6)
    assert data.train.inputs[0, :, 0, 1].tolist() == [3, 4, 5]


def test_a_dict_of_datasets_with_images_and_names(custom):
    data = custom(
        """
        class Set(torch.utils.data.Dataset):
            def __init__(self, n, mode="RGB"): self.n = n
            def __len__(self): return self.n
            def __getitem__(self, i): return Image.new("RGB", (9, 7), (i, 0, 0)), i % 2
        def make(): return {"train": Set(10), "test": Set(4), "classes": ["even", "odd"]}
        """
    )
    assert data.classes == ("even", "odd")
    assert data.train.inputs.shape == (10, 3, 7, 9) and data.train.inputs.dtype == torch.uint8
    assert data.train.inputs[:, 0, 0, 0].tolist() == list(range(10))


def test_float_tensors_stay_as_they_are(custom):
    data = custom(
        """
        def make():
            part = torch.utils.data.TensorDataset(torch.linspace(-3, 3, 24).reshape(6, 1, 2, 2), torch.arange(6) % 2)
            return part, part
        """
    )
    assert data.train.inputs.dtype == torch.float32 and data.mean == ()
    assert torch.allclose(data.train.inputs.flatten(), torch.linspace(-3, 3, 24))


def test_a_regression(custom):
    data = custom("def make():\n    x = np.linspace(0, 1, 10)\n    return (x, 2 * x), (x, 2 * x)")
    assert data.task == "regression" and data.classes == ()
    assert data.train.inputs.shape == data.train.targets.shape == (10, 1)
    assert data.train.targets.dtype == torch.float32
    assert np.allclose(data.train.targets, 2 * data.train.inputs)


def test_the_same_data_has_the_same_fingerprint(custom):
    code = "def make(k=1):\n    x = torch.arange(8.).reshape(4, 2) * k\n    return (x, [0, 1, 0, 1]), (x, [0, 1, 0, 1])"
    assert custom(code).fingerprint == custom(code).fingerprint != custom(code, {"k": 2}).fingerprint


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def make():\n    return 1 / 0", r"ZeroDivisionError: division by zero \(.*data\.py:4\)"),
        ("def make(:", r"SyntaxError.*data\.py:3"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("x = 1", "no class or function 'make'"),
        ("def make(): raise SystemExit(3)", "SystemExit"),
        ("def make(): raise ValueError('two\\nlines')", "two lines"),
        ("def make(): return 5", r"must return \(train, test\)"),
        ("def make(): return {'train': None}", "no train and no test"),
        ("def make(): return (1, 2), (3, 4)", "must be a pair"),
        ("def make(): return ([1.0], ['cat']), ([1.0], ['cat'])", "a list that is not an array of numbers"),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.rand(4, 3, 2)), (x, x)", None),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.arange(3)), (x, x)", "4 inputs but 3 targets"),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.zeros(4).long()), (x, torch.zeros(4).long())",
         "only one class"),
        ("def make():\n    x = torch.zeros(4, 7, 5, 5).byte()\n    return (x, [0, 1, 0, 1]), (x, [0, 1, 0, 1])",
         r"images are \[N, 1 or 3, H, W\]"),
        ("def make(): return {'train': 1, 'test': 1, 'task': 'sing'}", "must be a pair"),
        ("class S(list):\n    pass\ndef make(): return S([1]), S([2])", "must be a pair"),
    ],
)  # fmt: skip
def test_errors_are_one_line(custom, code, words):
    if words is None:
        assert custom(code).task == "regression"
        return
    with pytest.raises(UserError, match=words) as error:
        custom(code)
    assert "\n" not in str(error.value)


def test_an_unknown_option_is_an_error(custom):
    with pytest.raises(UserError, match="unexpected keyword argument 'm'"):
        custom("def make(n=1): pass", {"m": 1})
