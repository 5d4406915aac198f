"""A dataset from a user's Python file."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.cli.main import run
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.core.user_code_outline import check_user_code
from workbench.datasets.input_record import InputKind
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


def test_float_targets_are_a_regression(custom):
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
        ("def make(): return ([1.0], [{}]), ([1.0], [{}])", "a list that is not an array of numbers"),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.rand(4, 3, 2)), (x, x)", None),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.arange(3)), (x, x)", "4 inputs but 3 targets"),
        ("def make():\n    x = torch.rand(4, 2)\n    return (x, torch.zeros(4).long()), (x, torch.zeros(4).long())",
         "only one class"),
        ("def make():\n    x = torch.zeros(4, 7, 5, 5).byte()\n    return (x, [0, 1, 0, 1]), (x, [0, 1, 0, 1])",
         r"images are \[N, 1 or 3, H, W\]"),
        ("def make(): return {'train': 1, 'test': 1, 'task': 'sing'}", "must be a pair"),
        ("def make(): pass", r"not nothing \(None\): add a return statement"),
        ("def make(): yield 1", "not a generator: use return"),
        ("def make(): return [Image.new('L', (4, 4))] * 6", "a list of 6 values"),
        ("def make(): return [Image.new('L', (4, 4))] * 2", "must be a pair .* not Image"),
        ("def make(): return (np.array([[1., np.nan]] * 4), [0, 1] * 2), ([[1., 2.]], [0])",
         "NaN or infinite values in the inputs of 4 of 4 samples"),
        ("def make(): return ([1., 2.], [.5, float('inf')]), ([1.], [0.5])",
         r"NaN or infinite values in the targets of 1 of 2 samples \(the first is sample 1\)"),
        ("def make(): return ([], []), ([], [])", "is empty: every split needs at least one sample"),
        ("def make(): return (np.zeros((0, 3)), np.zeros(0, int)), (np.zeros((2, 3)), [0, 1])", "train is empty"),
        ("def make(): return ([[1, 2], [3]], [0, 1]), ([[1, 2]], [0])", "not an array of numbers of one shape"),
        ("def make(): return (np.array(['a', 'b']), [0, 1]), (np.array(['a', 'b']), [0, 1])",
         "the inputs are a ndarray that is not an array of numbers"),
        ("def make(): return [(torch.rand(3, 2), torch.rand(3, 4).softmax(1))] * 2",
         r"row of numbers that sum to 1: return class indices"),
        ("def make(): return ([1., 2., 3.], torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0]])), ([1.], [[1, 0, 1]])",
         "3 labels per sample; one class per sample"),
        ("def make(): return {'train': ([1., 2.], ['cat', 'dog']), 'test': ([1.], ['dgo']), 'classes': ['cat', 'dog']}",
         r"the label 'dgo' is not among the classes \(did you mean 'dog'\?\)"),
        ("def make(): return ([1., 2.], [0, 1]), ([1.], [1]), ['a', 'a']", "two classes have the name 'a'"),
        ("def make(): return ([1., 2., 3.], [0, 1, 7]), ([1.], [1]), ['a', 'b']",
         r"2 class names, but labels 0, 1, 7 \(3 different ones\)"),
        ("def make(): return (torch.rand(80, 2), torch.arange(80) * 3), (torch.rand(2, 2), [0, 3])",
         "80 different values for 80 training samples: for a regression return floats"),
        ("def make(): return [(torch.zeros(4, 9, 9, 4).byte(), [0, 1] * 2)] * 2",
         r"4 channels last: put the channels first .*drop the alpha channel"),
        ("def make(): return [(torch.zeros(4, 2) + 0j, [0, 1] * 2)] * 2", "complex inputs"),
        ("class S(torch.utils.data.IterableDataset):\n    def __iter__(self): yield 1\ndef make(): return S(), S()",
         "is an IterableDataset"),
        ("class S:\n    def __len__(self): return 2\n    def __getitem__(self, i): return {'pixels': 1}\n"
         "def make(): return S(), S()", "a dict with pixels; it needs image and label"),
        ("class S:\n    def __len__(self): return 2\n    def __getitem__(self, i): return [i]\n"
         "def make(): return S(), S()", r"must be \(input, target\), not a list of 1 values"),
        ("class S:\n    def __len__(self): return 2\n    def __getitem__(self, i): return np.zeros(2), None\n"
         "def make(): return S(), S()", r"targets \(NoneType\) are not numbers of one shape"),
        ("def make(): return (torch.rand(4, 3, 5, 5), [0, 1] * 2), (torch.rand(4, 3, 5, 5), [0, 1] * 2)\n"
         "make.preprocess = 'ToTensor'", r"make\.preprocess must be a function or a transform, not str"),
        ("def make(): return (torch.rand(4, 3, 5, 5), [0, 1] * 2), (torch.rand(4, 3, 5, 5), [0, 1] * 2)\n"
         "make.preprocess = lambda image: torch.zeros(1, 5, 5)", r"inputs of shape \[1, 5, 5\] of an image of 5×5"),
        ("def make(): return (torch.rand(4, 3, 5, 5), [0, 1] * 2), (torch.rand(4, 3, 5, 5), [0, 1] * 2)\n"
         "make.preprocess = lambda image: 1 / 0", r"preprocess fails on an image of 5×5: ZeroDivisionError"),
        ("def make(): return (torch.rand(4, 1, 5, 5) * 9, [0, 1] * 2), (torch.rand(4, 1, 5, 5) * 9, [0, 1] * 2)\n"
         "make.preprocess = lambda image: torch.from_numpy(np.array(image))[None] / 255.",
         r"make\.preprocess can't have made these inputs: it makes values from 0 to 1"),
        ("def make(): return ([1., 2., 3.], ['cat', None, 'dog']), ([1.], ['cat'])",
         r"train has no label \(None\) for 1 of 3 samples \(the first is sample 1\)"),
        ("class S:\n    def __len__(self): return 3\n"
         "    def __getitem__(self, i): return [i], ('a', float('nan'), 'b')[i]\n"
         "def make(): return S(), S()", r"train has no label \(nan\) for 1 of 3 samples"),
        ("class S:\n    def __len__(self): return 2\n"
         "    def __getitem__(self, i): return Image.new('L', (4 + i, 4)), i\n"
         "def make(): return S(), S()", r"item 1 has shape \(1, 4, 5\), item 0 has \(1, 4, 4\): resize them"),
        ("def make(): return (np.ma.masked_less([1., 2.], 2), [0, 1]), ([1.], [0])", "the inputs have masked values"),
        ("def make(): return ([1., 2.], [0, 3]), ([1.], [0]), {'cat': 0, 'dog': 1}", "label 3 has no class name"),
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


FLOATS = "x = torch.rand(8, 3)\ndef made(y): return (x, torch.as_tensor(y)), (x, torch.as_tensor(y))\n"


@pytest.mark.parametrize(
    ("returned", "classes", "targets"),
    [
        ("made([1, 2, 3, 4] * 2)", ("1", "2", "3", "4"), [0, 1, 2, 3] * 2),
        ("made([0, 10, 20, 90] * 2)", ("0", "10", "20", "90"), [0, 1, 2, 3] * 2),
        ("made([-1, 1] * 4)", ("-1", "1"), [0, 1] * 4),
        ("made([[5], [7]] * 4)", ("5", "7"), [0, 1] * 4),
        ("made([True, False] * 4)", ("0", "1"), [1, 0] * 4),
        ("made(torch.eye(4)[[3, 2, 1, 0] * 2])", ("0", "1", "2", "3"), [3, 2, 1, 0] * 2),
        ("made(torch.eye(3)[[2, 1] * 4].long())", ("0", "1", "2"), [2, 1] * 4),
        ("(*made([0, 1] * 4), ['cat', 'dog'])", ("cat", "dog"), [0, 1] * 4),
        ("(*made([1, 2] * 4), ['cat', 'dog'])", ("cat", "dog"), [0, 1] * 4),
        ("(*made([3, 8] * 4), {3: 'three', 8: 'eight'})", ("three", "eight"), [0, 1] * 4),
        ("(*made([0, 1] * 4), {'zero': 0, 'one': 1})", ("zero", "one"), [0, 1] * 4),
        ("((x, ['owl', 'cat'] * 4), (x, np.array(['cat', 'owl'] * 4)))", ("cat", "owl"), [1, 0] * 4),
        ("dict(zip(('train', 'test'), made([0., 1.] * 4)), task='classification')", ("0", "1"), [0, 1] * 4),
        ("[(x, [torch.tensor([4]), torch.tensor([6])] * 4), (x, [np.array([4])] * 8)]", ("4", "6"), [0, 1] * 4),
        ("(*made([1, 2] * 4), {'one': 1, 'two': 2, 'three': 3})", ("one", "two", "three"), [0, 1] * 4),
        ("(*made([0, 20] * 4), {'c': 20, 'a': 0, 'b': 10})", ("a", "b", "c"), [0, 2] * 4),
        ("(*made([0., 1.] * 4), ['cat', 'dog'])", ("cat", "dog"), [0, 1] * 4),
        ("(*made([[1.], [0.]] * 4), ['cat', 'dog'])", ("cat", "dog"), [1, 0] * 4),
        ("[(x, ['10', '9'] * 4)] * 2", ("9", "10"), [1, 0] * 4),
        ("[(x, np.array([b'owl', b'cat'] * 4))] * 2", ("cat", "owl"), [1, 0] * 4),
        ("[(x.numpy().astype('>f4'), np.array([7, 5] * 4, '>i8'))] * 2", ("5", "7"), [1, 0] * 4),
        ("[(x.numpy().astype('longdouble'), np.array([7, 5] * 4, '>u2'))] * 2", ("5", "7"), [1, 0] * 4),
        ("[(x.to_sparse(), [0, 1] * 4)] * 2", ("0", "1"), [0, 1] * 4),
    ],
)  # fmt: skip
def test_labels_of_any_values_become_class_indices_with_their_names(custom, returned, classes, targets):
    data = custom(f"{FLOATS}\ndef make(): return {returned}")
    assert data.task == "classification" and data.classes == classes
    assert data.train.targets.tolist() == targets


def test_class_names_on_the_function_are_used_and_changes_reported(custom):
    data = custom(f"{FLOATS}\ndef make(): return made([1, 2] * 4)\nmake.classes = ('cat', 'dog')")
    assert data.classes == ("cat", "dog")
    assert data.notices == ("labels 1 to 2 are used as class indices 0 to 1",)
    for labels in ("[1., 2.]", "[[1.], [2.]]"):
        whole = custom(f"{FLOATS}\ndef make(): return made({labels} * 4)")
        assert whole.task == "regression" and "return integers or class names" in whole.notices[0]
    unlabeled = custom(f"{FLOATS}\ndef make(): return made([-1, 0, 1, 2] * 2)")
    assert "label -1 is a class of its own" in unlabeled.notices[1]


@pytest.mark.parametrize(
    ("inputs", "shape", "dtype"),
    [
        ("torch.rand(6, 9, 8, 3)", (3, 9, 8), torch.float32),
        ("np.random.rand(6, 9, 8, 1)", (1, 9, 8), torch.float32),
        ("torch.rand(6, 3, 8, 3)", (3, 8, 3), torch.float32),
        ("torch.rand(6, 64, 3, 3)", (64, 3, 3), torch.float32),  # the feature maps of a network
        ("torch.rand(6, 16, 1, 1)", (16, 1, 1), torch.float32),
        ("[Image.new('RGB', (8, 9))] * 6", (3, 9, 8), torch.uint8),
        ("[np.zeros((9, 8, 3), np.uint8)] * 6", (3, 9, 8), torch.uint8),
        ("np.random.randint(0, 256, (6, 1, 9, 8))", (1, 9, 8), torch.uint8),
    ],
)
def test_channels_come_first(custom, inputs, shape, dtype):
    data = custom(f"def make():\n    x = {inputs}\n    return (x, [0, 1] * 3), (x, [0, 1] * 3)")
    assert data.train.shape == shape and data.train.inputs.dtype == dtype
    assert bool(data.notices and "channels last" in data.notices[0]) == ("9, 8, " in inputs)


def test_items_and_class_names_as_those_of_hugging_face(custom):
    data = custom(
        """
        class Label: names = ["cat", "dog"]
        class Set:
            features = {"label": Label()}
            def __len__(self): return 6
            def __getitem__(self, i): return {"image": Image.new("L", (5, 4), i), "label": i % 2}
        def make(): return {"train": Set(), "val": Set(), "test": Set()}
        """
    )
    assert data.classes == ("cat", "dog") and data.train.shape == (1, 4, 5) and len(data.validation) == 6


def test_a_name_is_checked_without_running_the_file(tmp_path):
    path = tmp_path / "data.py"
    path.write_text(
        "raise SystemExit\ntry:\n    from x import make\nexcept ImportError:\n    def make(): pass"
    )
    check_user_code(f"{path}:make")
    with pytest.raises(UserError, match=r"no class or function 'mak' \(did you mean 'make'\?\)"):
        check_user_code(f"{path}:mak")
    path.write_text("import torch\nfrom torch import nn\ndef _tor(): pass\ndef needed(x, y=1, *, z): pass")
    for typo in ("torc", "n", "tor"):
        with pytest.raises(UserError, match=f"no class or function '{typo}'$"):
            check_user_code(f"{path}:{typo}")
    path.write_text("from beside import *")
    check_user_code(f"{path}:mak")
    path.write_text("def make(:")
    with pytest.raises(UserError, match=r"SyntaxError.*data\.py:1"):
        check_user_code(f"{path}:make")


@pytest.mark.parametrize(
    ("code", "sets", "reason"),
    [("def make(x, y=1, *, z): pass", ["data.z=1"],
      r"make must take no arguments, and it requires x: give them defaults, or pass --set data.x=VALUE .*data.py:1\)"),
     ("def make(n=1): pass", ["data.m=1"], r"data.m: make takes n \("),
     ("class make:\n    def __init__(self, root): pass", [], "requires root: .*data.py:2"),
     ("from functools import wraps\n@wraps\ndef make(x): pass", [], None),
     ("def make(x): pass\nif 1:\n    def make(y): pass", [], None),
     ("def make(*parts, **options): pass", ["data.m=1"], None)],
)  # fmt: skip
def test_arguments_of_make_are_checked_before_the_start(tmp_path, code, sets, reason):
    (tmp_path / "data.py").write_text(code)
    arguments = {"dataset": f"{tmp_path / 'data.py'}:make", "model": "mlp", "sets": sets}
    if reason is None:
        assert build_experiment(**arguments).model.name == "mlp"
        return
    with pytest.raises(UserError, match=reason):
        build_experiment(**arguments)


def test_a_typo_is_an_error_of_usage_before_anything_starts(tmp_path, home, capsys):
    (tmp_path / "data.py").write_text("def make(): ...")
    for command in ("train", "plan"):
        assert run([command, "--dataset", f"{tmp_path / 'data.py'}:mak", "--model", "mlp"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("workbench: ") and "did you mean 'make'?" in line
    assert not (home / "runs").exists()


def test_process_state_changed_by_user_code_is_restored(custom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    data = custom(
        """
        import os
        def make():
            os.chdir("/")
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            torch.set_num_threads(1 + torch.get_num_threads())
            x = torch.rand(4, 2)
            return (x, np.arange(4, dtype=np.uint16) % 2), (x, np.arange(4, dtype=np.uint16) % 2)
        """
    )
    assert data.train.inputs.dtype == torch.float32 and data.classes == ("0", "1")
    assert (Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before


@pytest.mark.parametrize(
    "told",
    [
        "lambda image: np.asarray(image)[..., None] / 255",
        "lambda image: np.asarray(image) / 255.",
        "lambda image: torch.from_numpy(np.array(image))[None, None].double() / 255",
    ],
)
def test_a_preprocess_may_return_what_the_function_itself_returns(custom, told):
    data = custom(
        "def make():\n"
        "    x = np.random.randint(0, 256, (6, 9, 8, 1)) / 255\n"
        "    return (x, [0, 1] * 3), (x, [0, 1] * 3)\n"
        f"make.preprocess = {told}"
    )
    assert data.input.kind is InputKind.AFFINE
    assert data.input.scale == pytest.approx((1 / 255,)) and data.input.offset == pytest.approx((0,))


def test_the_training_images_decide_what_integers_are(custom):
    """Dark test images of the same type are pixels too: as floats they would be classified on another scale."""
    data = custom(
        """
        def make():
            x = torch.arange(6 * 81).reshape(6, 1, 9, 9) % 256
            return (x, [0, 1] * 3), (x * 0 + 1, [0, 1] * 3)
        """
    )
    assert data.test.inputs.dtype == data.train.inputs.dtype == torch.uint8 and not data.notices


@pytest.mark.parametrize("highest", [1, 16])
def test_whole_numbers_far_below_255_are_not_the_pixels_of_image_files(custom, highest):
    code = f"""
        def make():
            x = (torch.arange(6 * 81).reshape(6, 1, 9, 9) % {highest + 1}).to(torch.uint8)
            return (x, [0, 1] * 3), (x, [0, 1] * 3)
        """
    data = custom(code)
    assert data.input.kind is InputKind.UNKNOWN
    assert f"whole numbers from 0 to {highest}, and how an image becomes one is not known" in data.notices[0]
    told = custom(
        f"{code}\n        make.preprocess = lambda image: np.array(image) // {256 // (highest + 1)}\n"
    )
    assert told.input.kind is InputKind.CODE


@pytest.mark.parametrize(
    ("inputs", "is_said"),
    [("28, 28, 7", True), ("32, 48, 4", True), ("64, 8, 8", False), ("16, 5, 4", False)],
)
def test_what_looks_like_channels_last_is_said(custom, inputs, is_said):
    data = custom(
        f"def make():\n    x = torch.rand(6, {inputs})\n    return (x, [0, 1] * 3), (x, [0, 1] * 3)"
    )
    assert any("if the channels come last, put them first" in notice for notice in data.notices) == is_said


def test_grayscale_images_among_color_ones_are_color(custom):
    data = custom(
        """
        class Set:
            def __len__(self): return 4
            def __getitem__(self, i): return Image.new(("RGB", "L", "P", "1")[i], (5, 4), 1), i % 2
        def make(): return Set(), Set()
        """
    )
    assert data.train.shape == (3, 4, 5) and data.train.inputs[1].eq(1).all()


@pytest.mark.parametrize("change", ["1 - x", "x.flip(0)", "x"])
@pytest.mark.parametrize("test", ["Set()", "torch.utils.data.Subset(Set(), range(4))"])
def test_a_dataset_that_changes_what_its_transform_returns_is_not_described_by_it(custom, change, test):
    data = custom(
        f"""
        from torchvision import transforms
        class Set:
            def __init__(self): self.transform = transforms.ToTensor()
            def __len__(self): return 6
            def __getitem__(self, i):
                pixels = np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)
                x = self.transform(Image.fromarray(pixels))
                return {change}, i % 2
        def make(): return Set(), {test}
        """
    )
    assert data.input.kind is (InputKind.AFFINE if change == "x" else InputKind.UNKNOWN)
    assert any("the inputs are not what that returns" in notice for notice in data.notices) == (change != "x")
