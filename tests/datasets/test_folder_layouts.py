"""Folders as people have them: splits by any name, litter, links, names in two spellings, copies elsewhere."""

from __future__ import annotations

import os
import shutil
import time
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from workbench.config.data_summary import imbalance, summarize_data
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.class_folders import natural_order
from workbench.datasets.drawing import stratified_split
from workbench.datasets.image_fitting import make_fittings
from workbench.datasets.image_folder_facts import folder_facts
from workbench.datasets.image_folder_scan import scan_folder
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_sizes import StoredSides
from workbench.datasets.load_request import RecordedData
from workbench.datasets.loader import load
from workbench.datasets.pixel_notices import pixel_notices
from workbench.datasets.split_names import parse_split_name


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


def images(folder: Path, count: int = 3, size: tuple[int, int] = (8, 8)) -> Path:
    """`count` images in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 7, len(folder.name))).save(folder / f"{i}.png")
    return folder


def labeled(folder: Path, *names: str, count: int = 3) -> Path:
    """A folder of classes."""
    for name in names or ("cat", "dog"):
        images(folder / name, count)
    return folder


def facts(root: Path, **options):
    return folder_facts(f"folder:{root}", options)


def summary(root: Path, model: str = "convnet", train: TrainingSettings | None = None, **options):
    return summarize_data(Choice(f"folder:{root}", options), Choice(model), train or TrainingSettings())


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("training_set", "train"), ("train1", "train"), ("TRAIN", "train"),
        ("TrainImages", "train"), ("trainset", "train"), ("train-data", "train"), ("train_val", "train"),
        ("val", "validation"), ("valid", "validation"), ("dev", "validation"), ("eval", "validation"),
        ("Validation_Set", "validation"), ("test1", "test"), ("test_set", "test"), ("Testing", "test"),
        ("test images", "test"), ("testset2", "test"),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    found = parse_split_name(name)
    assert found is not None and (found.split, found.rest) == (split, ())


@pytest.mark.parametrize("name", ["contest", "latest", "trains", "detest", "cat", "validity", "devil", "1"])
def test_other_names_are_not_splits(name):
    assert parse_split_name(name) is None


@pytest.mark.parametrize(
    ("train", "held_out"),
    [("train", "test"), ("training_set", "test_set"), ("Train", "dev"), ("train1", "eval"), ("training", "testing"),
     ("seg_train", "seg_test"), ("x_train", "x_valid"), ("train/train", "test/test"),
     ("seg_train/seg_train", "seg_test/seg_test"), ("Data/Data/train", "Data/Data/validation")],
)  # fmt: skip
def test_splits_by_any_name_and_depth(tmp_path, train, held_out):
    labeled(tmp_path / "r" / train, count=4)
    labeled(tmp_path / "r" / held_out, count=2)
    found = facts(tmp_path / "r")
    assert found.classes == ("cat", "dog")
    assert found.totals == {"train": 8, "test": 4}


def test_eval_is_the_test_beside_a_validation_split(tmp_path):
    for split, count in (("train", 4), ("dev", 3), ("eval", 2)):
        labeled(tmp_path / split, count=count)
    assert facts(tmp_path).totals == {"train": 8, "validation": 6, "test": 4}


def test_an_unlabeled_test_folder_is_left_out_and_named(tmp_path):
    labeled(tmp_path / "train", count=5)
    images(tmp_path / "test1", 7)
    images(tmp_path / "predict", 2)
    found = summary(tmp_path)
    assert found.facts.classes == ("cat", "dog") and found.facts.totals == {"train": 8, "test": 2}
    line = next(line for line in found.lines if line.startswith("left out"))
    assert "test1 (test split, 7 images without class folders)" in line and "predict" in line


def test_a_flat_test_folder_beside_classes_is_left_out(tmp_path):
    images(labeled(tmp_path / "r") / "test", 4)
    found = facts(tmp_path / "r")
    assert found.classes == ("cat", "dog")
    assert any(one.path.endswith("/test") for one in found.left_out)


@pytest.mark.parametrize(
    ("flat", "words"),
    [
        (("train", "test"), "train/ have the names of splits but no class folders"),
        (("training", "test1"), "no class folders"),
        (("train",), "no class folders"),
    ],
)
def test_splits_without_classes_are_refused_in_one_line(tmp_path, flat, words):
    for name in flat:
        images(tmp_path / "r" / name)
    with pytest.raises(UserError, match=words) as error:
        facts(tmp_path / "r")
    assert "\n" not in str(error.value)


def test_two_folders_for_one_split_are_refused(tmp_path):
    for name in ("train", "training_set", "test"):
        labeled(tmp_path / name)
    with pytest.raises(UserError, match=r"both train/ and training_set/"):
        facts(tmp_path)


def test_a_root_with_one_folder_inside_is_descended_into_and_named(tmp_path):
    labeled(tmp_path / "download" / "pets" / "images")
    (tmp_path / "download" / "readme.txt").write_text("hello")
    (tmp_path / "download" / "pets" / "labels").mkdir()
    (tmp_path / "download" / "pets" / "labels" / "a.csv").write_text("x")
    found = summary(tmp_path / "download")
    assert found.facts.root == str(tmp_path / "download" / "pets" / "images")
    assert f"classes are in {found.facts.root}" in found.lines


LITTER = (
    "__MACOSX/pets/cat/._0.jpg", "cat/._0.png", "cat/.DS_Store", "cat/Thumbs.db", "cat/desktop.ini", ".git/x.png",
    "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/@eaDir/0.png", "runs/exp1/events.out.tfevents.1", "weights/best.pt",
    "cat/notes.txt", "labels.csv", "report.pdf", "model.h5", "cat/data.json", "cat/README",
)  # fmt: skip


def litter(root: Path) -> Path:
    for name in LITTER:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not an image")
    (root / "checkpoints").mkdir()
    return root


def test_litter_is_no_class_and_no_image(tmp_path):
    clean = facts(labeled(tmp_path / "clean"))
    found = facts(litter(labeled(tmp_path / "r")))
    assert (found.classes, found.counts) == (clean.classes, clean.counts)
    assert found.skipped.count == 0
    assert {Path(one.path).name for one in found.left_out} == {"runs", "weights", "checkpoints"}
    assert found.other_files[".csv"] == 1 and found.other_files["no extension"] == 1


def test_images_of_programs_beside_the_classes_are_no_class(tmp_path):
    root = litter(labeled(tmp_path / "r"))
    images(root / "node_modules" / "package" / "icons")
    images(root / "venv" / "lib" / "matplotlib")
    images(root / "runs" / "detect")
    found = facts(root)
    assert found.classes == ("cat", "dog")
    assert any(
        "runs (named like the output of a trainer: rename it" in line for line in summary(root).warnings
    )
    deeper = labeled(tmp_path / "d" / "Dataset").parent
    images(deeper / "outputs")
    assert facts(deeper).classes == ("cat", "dog")
    assert facts(labeled(tmp_path / "two", "other", "results")).classes == ("other", "results")


def test_classes_with_the_same_folders_inside_are_remarked_on(tmp_path):
    """Parts of a dataset under names that are not known as splits: their classes would be mixed without a word."""
    for part in ("original", "augmented", "extra"):
        labeled(tmp_path / "parts" / part)
    images(tmp_path / "parts" / "extra" / "owl")
    for name in ("cat", "dog"):
        labeled(tmp_path / "views" / name, f"{name} left", f"{name} right")
    (line,) = (x for x in summary(tmp_path / "parts").lines if "same folders" in x)
    assert line.startswith(
        "augmented/, extra/, original/ have the same folders inside (cat/, dog/), which are not told"
    )
    assert not any("same folders" in line for line in summary(tmp_path / "views").lines)


def test_images_that_can_not_be_read_here_are_counted_and_named(tmp_path):
    root = labeled(tmp_path / "r")
    (root / "cat" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "cat" / "raw.CR2").write_bytes(b"II*\0")
    (root / "dog" / "layers.psd").write_bytes(b"8BPS")
    (root / "dog" / "drawing.svg").write_text("<svg/>")
    (root / "dog" / "phone").write_bytes(b"\0\0\0\x18ftypheic")
    shutil.copy(root / "cat" / "0.png", root / "cat" / "no_suffix")
    shutil.copy(root / "cat" / "0.png", root / "cat" / "download.jpg_large")
    found = facts(root)
    assert found.totals["train"] + found.totals["test"] == 8  # the two without a suffix of an image are some
    assert {Path(one.path).name for one in found.skipped.files} == {
        "IMG_1.HEIC", "raw.CR2", "layers.psd", "drawing.svg", "phone",
    }  # fmt: skip
    assert {one.reason.removeprefix("in ").partition(" format")[0] for one in found.skipped.files} == {
        "HEIC", "camera raw", "Photoshop", "vector",
    }  # fmt: skip
    loaded = load(Choice(f"folder:{root}"), size=8)
    assert len(loaded.skipped_files) == 5 and len(loaded.train) + len(loaded.test) == 8
    assert any("skipped: 5 files: 2 × in HEIC format" in notice for notice in loaded.notices)


def test_a_heic_file_with_another_suffix_is_named(tmp_path):
    root = labeled(tmp_path / "r")
    (root / "cat" / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    reasons = dict(load(Choice(f"folder:{root}"), size=8).skipped_files)
    assert reasons == {
        str(root / "cat" / "phone.jpg"): "in HEIC format, which can't be read here: convert to PNG or JPEG"
    }


# Links


def test_links_inside_the_folder_are_followed_and_loops_end(tmp_path):
    root = tmp_path / "r"
    labeled(root / "pool", count=4)
    (root / "train").mkdir()
    (root / "train" / "cat").symlink_to(root / "pool" / "cat")
    (root / "train" / "dog").symlink_to(Path("..") / "pool" / "dog")
    labeled(root / "test")
    (root / "pool" / "cat" / "loop").symlink_to(root)
    found = facts(root)
    assert found.classes == ("cat", "dog") and found.totals == {"train": 8, "test": 6}
    assert any("contains it" in one.reason for one in found.skipped.files)


@pytest.mark.parametrize("linked", ["train", "train/cat"])
def test_links_to_other_places_are_refused_at_once_with_the_way_out(tmp_path, linked):
    labeled(tmp_path / "store" / "train")
    labeled(tmp_path / "store" / "test")
    root = tmp_path / "r"
    shutil.copytree(tmp_path / "store", root)
    shutil.rmtree(root / linked)
    (root / linked).symlink_to(tmp_path / "store" / linked)
    with pytest.raises(UserError, match=r"--set data\.links=all"):
        facts(root)
    assert facts(root, links="all").totals == {"train": 6, "test": 6}


# Names


def test_unicode_forms_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    labeled(tmp_path / "train", composed, "tea")
    labeled(tmp_path / "test", decomposed, "tea")
    found = facts(tmp_path)
    assert found.classes == (composed, "tea") and found.counts["test"] == (3, 3)
    assert any("Unicode form" in remark for remark in found.remarks)


def test_names_that_differ_in_case_are_one_class_across_splits_and_reported_within_one(tmp_path):
    labeled(tmp_path / "a" / "train", "Cat", "dog")
    labeled(tmp_path / "a" / "test", "cat", "Dog")
    merged = facts(tmp_path / "a")
    assert merged.classes == ("Cat", "dog") and merged.counts["test"] == (3, 3)
    assert any("differ only in case and are one class" in remark for remark in merged.remarks)
    labeled(tmp_path / "b", "A", "a")
    separate = facts(tmp_path / "b")
    assert separate.classes == ("A", "a")
    assert any("are separate classes" in remark for remark in separate.remarks)


def test_equal_numbers_are_one_class_across_splits_and_reported_within_one(tmp_path):
    labeled(tmp_path / "a" / "train", "01", "02", "10")
    labeled(tmp_path / "a" / "test", "1", "2", "10")
    merged = facts(tmp_path / "a")
    assert merged.classes == ("01", "02", "10") and merged.counts["test"] == (3, 3, 3)
    assert "'01' and '1' are the same number and are one class" in merged.remarks
    separate = facts(labeled(tmp_path / "b", "1", "01", "2"))
    assert separate.classes == ("01", "1", "2")
    assert "'01' and '1' are the same number and are separate classes" in separate.remarks


def test_numbers_are_in_natural_order(tmp_path):
    assert facts(labeled(tmp_path, "1", "10", "2")).classes == ("1", "2", "10")
    assert natural_order(["10", "9", "b"]) == ["10", "9", "b"]
    assert natural_order(["1.5", "-1", "010", "2"]) == ["-1", "1.5", "2", "010"]


# Sizes


@pytest.mark.parametrize(
    ("size", "model", "sides", "line"),
    [
        ((32, 32), "resnet", (32, 32), "images: 32×32, not resized"),
        ((32, 32), "convnet", (32, 32), "images: 32×32, not resized"),
        (
            (32, 32),
            "resnet18",
            (224, 224),
            "images resized: 32×32 → 224×224 (for training stored as 32×32 and cropped)",
        ),
        ((640, 480), "convnet", (32, 32), "images resized: 640×480 → 32×32"),
        ((8, 8), "convnet", (8, 32), "images resized: 8×8 → 32×32"),
    ],
)
def test_images_are_not_enlarged_unless_the_model_asks_for_it(tmp_path, size, model, sides, line):
    for name in ("cat", "dog"):
        images(tmp_path / "r" / name, size=size)
    found = summary(tmp_path / "r", model)
    stored, entered = sides
    assert found.shape == (3, stored, stored) and found.input_shape == (3, entered, entered)
    assert line in found.lines


def test_a_size_that_is_set_is_used(tmp_path):
    assert summary(labeled(tmp_path / "r"), size=20).shape == (3, 20, 20)


# Imbalance


def test_rare_classes_are_named_with_their_support_and_the_settings(tmp_path):
    for name, count in (("cat", 60), ("dog", 60), ("owl", 2)):
        images(tmp_path / name, count)
    line = next(x for x in summary(tmp_path).lines if x.startswith("imbalanced"))
    assert line == (
        "imbalanced: owl has 1 of 87 training images, none in validation; "
        "consider train.class_weights=balanced or train.balanced_sampling=yes"
    )
    weighted = summary(tmp_path, train=TrainingSettings(class_weights="balanced"))
    assert not any("consider" in line for line in weighted.lines)
    assert not any("imbalanced" in line for line in summary(labeled(tmp_path / "even")).lines)


def test_a_class_that_is_only_tested_can_not_be_learned():
    counts = {"train": (70, 74, 0), "validation": (8, 8, 0), "test": (10, 10, 10)}
    assert imbalance(("0", "1", "2"), counts, TrainingSettings()) == [
        "class '2' has no training images, so it can't be learned: add some, or remove the class"
    ]


def test_a_class_that_is_not_tested_is_named():
    counts = {"train": (70, 74), "validation": (8, 8), "test": (10, 0)}
    assert imbalance(("cat", "dog"), counts, TrainingSettings()) == ["no test images: dog"]


def test_kinds_of_files_that_take_turns_are_all_seen(tmp_path):
    for i in range(128):
        Image.new("RGBA" if i % 2 else "RGB", (8, 8)).save(tmp_path / f"{i:03}.png")
    (notice,) = pixel_notices(
        sorted(tmp_path.glob("*.png")), make_fittings(StoredSides(8, None, None), "RGB", "crop")
    )
    assert "images checked: transparency blended with white" in notice


# The same data


def test_a_copy_is_the_same_data_and_a_changed_file_is_not(tmp_path):
    root = labeled(tmp_path / "r", count=6)
    first = load(Choice(f"folder:{root}"), size=8)
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)  # with new modification times
    assert load(Choice(f"folder:{tmp_path / 'copy'}"), size=8).fingerprint == first.fingerprint
    (tmp_path / "outer").mkdir()
    shutil.move(tmp_path / "copy", tmp_path / "outer" / "inner")
    assert load(Choice(f"folder:{tmp_path / 'outer'}"), size=8).fingerprint == first.fingerprint
    changed = tmp_path / "outer" / "inner" / "cat" / "0.png"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1  # the same size
    changed.write_bytes(content)
    assert load(Choice(f"folder:{tmp_path / 'outer'}"), size=8).fingerprint != first.fingerprint


def test_fingerprints_of_an_earlier_version_still_match(tmp_path):
    """Its fingerprint had modification times in it, its classes were in another order, its images enlarged."""
    root = labeled(tmp_path / "r", "1", "2", "10", count=6)
    former = ("1", "10", "2")
    scan = scan_folder(root, recorded_classes=former)
    labels = [item.label for item in scan.splits["all"]]
    train, test = stratified_split(labels, 0.2, 0, "folder test")
    items = scan.splits["all"]
    listing = ImageListing(
        root, former, {"train": [items[i] for i in train], "test": [items[i] for i in test]}
    )
    recorded = RecordedData(former, (3, 64, 64), listing.fingerprint_0_1())
    data = load(Choice(f"folder:{root}"), size=64, recorded=recorded)
    assert data.fingerprint == recorded.fingerprint
    assert data.classes == former and data.train.shape == (3, 64, 64)
    fresh = load(Choice(f"folder:{root}"), size=64)
    assert fresh.classes == ("1", "2", "10") and fresh.train.shape == (3, 8, 8)
    os.utime(root / "1" / "0.png", (1, 1))
    assert load(Choice(f"folder:{root}"), size=64, recorded=recorded).fingerprint != recorded.fingerprint


def test_ten_thousand_files_are_listed_once_and_within_two_seconds(tmp_path):
    content = (images(tmp_path / "one", 1) / "0.png").read_bytes()
    for name in "abcde":
        (tmp_path / "r" / name).mkdir(parents=True)
        for i in range(2000):
            (tmp_path / "r" / name / f"{i}.png").write_bytes(content)
    start = time.process_time()
    assert facts(tmp_path / "r").totals == {"train": 8000, "test": 2000}
    listing = time.process_time() - start
    start = time.process_time()
    facts(tmp_path / "r")
    assert listing < 2.0 and time.process_time() - start < listing / 5  # listed once


def test_splits_in_every_class_folder_are_splits(tmp_path):
    for name, count in (("cat", 5), ("dog", 4)):
        images(tmp_path / name / "train", count)
        images(tmp_path / name / "Validation", 2)
        images(tmp_path / name / "test_set", 3)
    images(tmp_path / "test", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    found = facts(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.counts == {"train": (5, 4), "validation": (2, 2), "test": (3, 3)}
    assert found.folders == {
        "train": "CLASS/train", "validation": "CLASS/Validation", "test": "CLASS/test_set"
    }  # fmt: skip
    assert {Path(file.path).name for file in found.left_out} == {"test", "empty"}
    data = load(Choice(f"folder:{tmp_path}"), size=8, channels=3)
    assert data.test.names == tuple(f"{name}/test_set/{i}.png" for name in ("cat", "dog") for i in range(3))
    assert data.test.targets.tolist() == [0, 0, 0, 1, 1, 1]


def test_class_folders_with_a_validation_split_only_are_tested_on_it(tmp_path):
    for name in ("cat", "dog"):
        images(tmp_path / "pets" / name / "training", 4)
        images(tmp_path / "pets" / name / "val", 2)
    found = facts(tmp_path)
    assert found.counts == {"train": (4, 4), "test": (2, 2)}
    assert any("val/ serves as the test split" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ((), "cat/ has test/ and train/ inside, dog/ has not: put the same splits into every class folder"),
        (("train",), "dog/ has not"),
        (("train", "val"), "dog/ has only train/ and val/"),
    ],
)
def test_splits_in_some_class_folders_are_refused_with_the_layouts_that_work(others, message, tmp_path):
    for split in ("train", "test"):
        images(tmp_path / "cat" / split)
    for split in others or (".",):
        images(tmp_path / "dog" / split)
    with pytest.raises(UserError) as error:
        facts(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert "(cat/test, dog/test), or the classes into those of the splits (test/cat, test/dog)" in str(
        error.value
    )


def test_folders_inside_of_classes_that_are_no_splits_are_part_of_the_class(tmp_path):
    images(tmp_path / "cat" / "train")
    images(tmp_path / "cat" / "indoors")
    images(tmp_path / "dog")
    images(tmp_path / "trains" / "valid")
    found = facts(tmp_path)
    assert found.classes == ("cat", "dog", "trains")
    assert [sum(one) for one in zip(*found.counts.values(), strict=True)] == [6, 3, 3]
