"""The user's images: one folder per class."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets import image_cache, image_fitting
from workbench.datasets.image_folder_facts import describe_folder, facts_of_scan, folder_facts
from workbench.datasets.image_folder_scan import scan_folder
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ListedImage
from workbench.datasets.loader import load
from workbench.io import file_cache
from workbench.io.image_fit import crop_to_square


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def draw(path, color="red", size=(20, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def classes(root, count=10, names=("cat", "dog"), **options):
    for name in names:
        for i in range(count):
            draw(root / name / f"{i:02}.png", (i, 20 * names.index(name), 7), **options)
    return root


def load_folder(root, **options):
    keywords = {k: options.pop(k) for k in ("size", "channels", "seed", "validation", "progress", "cancelled")
                if k in options}  # fmt: skip
    return load(
        Choice(f"folder:{root}", {k.removeprefix("data_"): v for k, v in options.items()}), **keywords
    )


def test_classes_are_folders_and_split_evenly(tmp_path):
    root = classes(tmp_path / "pets")
    draw(root / "dog" / "deep" / "er" / "x.JPG", (9, 9, 9))
    data = load_folder(root, size=8)
    assert data.classes == ("cat", "dog")
    assert data.train.inputs.shape == (17, 3, 8, 8) and data.train.inputs.dtype == torch.uint8
    assert torch.bincount(data.test.targets).tolist() == [2, 2]
    assert "dog/deep/er/x.JPG" in data.train.names + data.test.names
    for name, label, image in zip(data.train.names, data.train.targets, data.train.inputs, strict=True):
        assert data.classes[label] == name.split("/")[0]
        if "deep" not in name:
            assert image[:, 3, 3].tolist() == [int(name[4:6]), 20 * int(label), 7]
    assert len(load_folder(root, size=8, data_test=0.5).test) == 11


def test_the_experiments_seed_draws_validation_only(tmp_path):
    root = classes(tmp_path / "pets")
    first, second = (load_folder(root, size=8, validation=0.25, seed=seed) for seed in (1, 2))
    assert first.test.names == second.test.names and first.fingerprint == second.fingerprint
    assert first.validation.names != second.validation.names
    other = load_folder(root, size=8, data_seed=1)
    assert other.test.names != first.test.names
    assert load_folder(root, size=8, data_seed=1).test.names == other.test.names


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_split_folders_are_splits_and_never_classes(tmp_path, validation):
    for split, count in (("train", 4), (validation, 2), ("test", 3)):
        classes(tmp_path / "root" / split, count)
    data = load_folder(tmp_path / "root", size=8, validation=0.5)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 6)
    assert data.train.names[0] == "train/cat/00.png"


def test_train_and_test_alone(tmp_path):
    for split, count in (("train", 4), ("test", 3)):
        classes(tmp_path / split, count)
    data = load_folder(tmp_path, size=8)
    assert (len(data.train), data.validation, len(data.test)) == (8, None, 6)


def test_train_and_val_alone_make_val_the_test(tmp_path):
    for split, count in (("train", 4), ("val", 3)):
        classes(tmp_path / "r" / split, count)
    data = load_folder(tmp_path / "r", size=8)
    assert (len(data.train), data.validation, len(data.test)) == (8, None, 6)


def test_train_alone_is_split(tmp_path):
    classes(tmp_path / "r" / "train")
    assert len(load_folder(tmp_path / "r", size=8).test) == 4


def test_a_class_may_be_called_train(tmp_path):
    data = load_folder(classes(tmp_path / "vehicles", names=("car", "train")), size=8)
    assert data.classes == ("car", "train")


def test_a_test_split_without_a_training_split_is_an_error(tmp_path):
    classes(tmp_path / "r" / "test")
    with pytest.raises(UserError, match="no train/"):
        load_folder(tmp_path / "r")


def test_unreadable_images_are_skipped(tmp_path):
    root = classes(tmp_path / "pets")
    (root / "cat" / "text.png").write_text("no image")
    (root / "cat" / "empty.png").touch()
    (root / "dog" / "cut.jpg").write_bytes((root / "dog" / "00.png").read_bytes()[:50])
    os.mkfifo(root / "dog" / "pipe.png")
    (root / "dog" / "notes.txt").write_text("not an image, and not called one")
    for _ in range(2):  # decoded, and then from the cache
        data = load_folder(root, size=8)
        assert len(data.train) + len(data.test) == 20
        reasons = {path.rpartition("/")[2]: reason for path, reason in data.skipped_files}
        assert set(reasons) == {"text.png", "empty.png", "cut.jpg", "pipe.png"}
        assert reasons["empty.png"] == "empty" and "not an image" in reasons["text.png"]


def test_links_out_of_the_folder_are_skipped(tmp_path):
    root = classes(tmp_path / "pets")
    draw(tmp_path / "outside" / "secret.png")
    (root / "cat" / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    (root / "cat" / "inside.png").symlink_to(root / "cat" / "00.png")
    (root / "cat" / "broken.png").symlink_to(root / "none.png")
    (root / "cat" / "folder").symlink_to(tmp_path / "outside")
    (root / "bird").symlink_to(tmp_path / "unmounted" / "bird")
    (root / "notes.txt").symlink_to(tmp_path / "gone.txt")
    data = load_folder(root, size=8)
    names = data.train.names + data.test.names
    assert "cat/inside.png" in names and len(names) == 21
    reasons = {path.rpartition("/")[2]: reason for path, reason in data.skipped_files}
    assert "outside the folder" in reasons["link.png"]
    assert "broken link" in reasons["broken.png"]
    assert "broken link" in reasons["bird"] and "notes.txt" not in reasons, "it may have been a class"
    assert "outside the folder" in reasons["folder"]
    assert any("--set data.links=all" in notice for notice in data.notices)
    followed = load_folder(root, size=8, data_links="all")
    assert {"cat/link.png", "cat/folder/secret.png"} < set(followed.train.names + followed.test.names)


def test_a_class_that_is_a_link_out_is_refused(tmp_path):
    root = classes(tmp_path / "pets")
    classes(tmp_path / "outside", names=("bird",))
    (root / "bird").symlink_to(tmp_path / "outside" / "bird")
    with pytest.raises(UserError, match=r"bird is a link to .*outside .*--set data\.links=all"):
        load_folder(root)


def test_names_of_any_bytes_are_kept(tmp_path):
    root = classes(tmp_path / "pets")
    strange = [os.fsdecode(b"caf\xe9"), "a\x1b[31m\nb", "[red]x"]
    for name in strange:
        for i in range(3):
            draw(root / name / f"{name.strip()}{i}.png")
    data = load_folder(root, size=8)
    assert set(strange) < set(data.classes)
    assert len(data.fingerprint) == 64


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda root: None, "is not a folder"),
        (lambda root: draw(root / "x.png"), "has no class folders"),
        (lambda root: classes(root, names=("cat",)), "only one class"),
        (lambda root: (classes(root, names=("cat",)), (root / "dog").mkdir()), "only one class .*left out: .*/dog"),
        (lambda root: (classes(root / "train"), classes(root / "test"), classes(root / "test", names=("bird",))),
         r"'bird' has a folder of test images \(.*/root/test/bird\) but no .*: put some into .*/root/train/bird"),
        (lambda root: (classes(root), (root / "bird").mkdir(), (root / "bird" / "x.heic").write_bytes(b"\0")),
         r"the class folder .*/root/bird has no images that .*; .*x.heic is in HEIC format"),
        (lambda root: (classes(root), draw(root / "bird" / "one.png")),
         "only one image, .*: add an image, remove the folder, or put test images into a folder test/"),
        (lambda root: (classes(root / "train"), (root / "test" / "cat").mkdir(parents=True)), "test folder"),
    ],
)  # fmt: skip
def test_unlearnable_folders_are_errors(tmp_path, build, words):
    build(tmp_path / "root")
    with pytest.raises(UserError, match=words) as error:
        load_folder(tmp_path / "root")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError) as before:
        folder_facts(f"folder:{tmp_path / 'root'}", {})
    assert str(before.value) == str(error.value)


@pytest.mark.parametrize("split", ["", "train"])
def test_an_empty_folder_is_left_out_wherever_it_is(tmp_path, split):
    root = tmp_path / "root"
    classes(root / split)
    if split:
        classes(root / "test")
    (root / split / "nothing").mkdir()
    (root / split / "deep" / "inside").mkdir(parents=True)
    found = folder_facts(f"folder:{root}", {})
    assert "nothing" not in found.classes and "deep" not in found.classes
    assert {(Path(one.path).name, one.reason) for one in found.left_out} == {
        ("nothing", "a folder without images"), ("deep", "a folder without images")
    }  # fmt: skip


def test_a_folder_that_can_be_learned_from_passes_the_first_look(tmp_path):
    classes(tmp_path / "pets", names=("cat/young", "dog"))
    assert folder_facts(f"folder:{tmp_path / 'pets'}", {}).classes == ("cat", "dog")


def test_a_split_without_a_readable_image_is_an_error(tmp_path):
    classes(tmp_path / "r" / "train")
    for name in ("cat", "dog"):
        (tmp_path / "r" / "test" / name).mkdir(parents=True)
        (tmp_path / "r" / "test" / name / "x.png").write_text("text")
    with pytest.raises(UserError, match="none of the 2 test images"):
        load_folder(tmp_path / "r")


def test_images_are_decoded_once(tmp_path, monkeypatch):
    root = classes(tmp_path / "pets")
    first = load_folder(root, size=8)

    def never(*_):
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(image_fitting, "open_image", never)
        second = load_folder(root, size=8)
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert first.fingerprint == second.fingerprint
    draw(root / "cat" / "00.png", "white", size=(30, 30))
    third = load_folder(root, size=8)
    assert third.fingerprint != first.fingerprint
    images = dict(
        zip(third.train.names + third.test.names, (*third.train.inputs, *third.test.inputs), strict=True)
    )
    assert int(images["cat/00.png"].min()) == 255


def test_a_damaged_cache_is_made_again(tmp_path, home):
    root = classes(tmp_path / "pets")
    first = load_folder(root, size=8).train.inputs.clone()
    for file in (home / "cache" / "decoded").glob("*.u8"):
        file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(load_folder(root, size=8).train.inputs, first)


def test_writing_to_the_images_leaves_the_cache_alone(tmp_path):
    root = classes(tmp_path / "pets")
    load_folder(root, size=8).train.inputs.zero_()
    assert int(load_folder(root, size=8).train.inputs.max()) > 0


def same(first, second):
    examples = torch.arange(len(first))
    return torch.equal(first.gather(examples), second.gather(examples)) and first.names == second.names


def decodings(monkeypatch):
    """The names of the files that are opened from now on."""
    opened, really = [], image_fitting.open_image

    def counted(path, at_least=None):
        opened.append(path.name)
        return really(path, at_least)

    monkeypatch.setattr(image_fitting, "open_image", counted)
    return opened


def test_interrupted_decoding_continues(tmp_path, home, monkeypatch):
    root = classes(tmp_path / "pets", count=100)
    (root / "cat" / "00.png").write_text("no image")
    monkeypatch.setattr(image_cache, "usable_cores", lambda: 1)  # 32 images at a time
    seen = []
    with pytest.raises(Cancelled):
        load_folder(root, size=8, progress=seen.append, cancelled=lambda: len(seen) > 80)
    left = {path.suffix for path in (home / "cache" / "decoded").iterdir()}
    assert left == {".part", ".json"}
    opened = decodings(monkeypatch)
    cut = load_folder(root, size=8)
    assert len(opened) == 200 - 64
    shutil.rmtree(home / "cache")
    whole = load_folder(root, size=8)
    assert (
        same(cut.train, whole.train)
        and same(cut.test, whole.test)
        and cut.skipped_files == whole.skipped_files
    )
    kept = list((home / "cache" / "decoded").iterdir())
    assert {(path.suffix, path.stat().st_mode & 0o777) for path in kept} == {(".u8", 0o600), (".json", 0o600)}


def test_unused_cache_files_are_evicted_for_space(tmp_path, home, monkeypatch):
    root, other = classes(tmp_path / "pets"), classes(tmp_path / "others")
    for folder in (root, other):
        load_folder(folder, size=8)
    kept = home / "cache" / "decoded"
    for path in kept.iterdir():
        os.utime(path, (0, 0))
    load_folder(root, size=8)
    file_cache.evict_least_recent(kept, 1)
    file_cache.evict_least_recent(kept, 1)
    opened = decodings(monkeypatch)
    load_folder(root, size=8)
    assert not opened
    load_folder(other, size=8)
    assert opened


def test_a_truncated_part_file_restarts_from_the_start(tmp_path, home, monkeypatch):
    root = classes(tmp_path / "pets", count=100)
    monkeypatch.setattr(image_cache, "usable_cores", lambda: 1)
    seen = []
    with pytest.raises(Cancelled):
        load_folder(root, size=8, progress=seen.append, cancelled=lambda: len(seen) > 80)
    part = next((home / "cache" / "decoded").glob("*.part"))
    part.write_bytes(part.read_bytes()[:-1])
    cut = load_folder(root, size=8)
    shutil.rmtree(home / "cache")
    assert same(cut.train, load_folder(root, size=8).train)


def test_two_that_want_the_same_images_decode_them_once(tmp_path, monkeypatch):
    root = classes(tmp_path / "pets")
    opened = decodings(monkeypatch)
    monkeypatch.setattr(image_cache, "POLL_INTERVAL", 0.01)
    waited, begun = threading.Event(), threading.Event()

    def first(progress):
        begun.set()
        if progress.done == 3:
            assert waited.wait(30)

    def second(progress):
        if progress.what.startswith("waiting for another"):
            waited.set()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(load_folder, root, size=8, progress=first)
        assert begun.wait(30)
        two = pool.submit(load_folder, root, size=8, progress=second)
        assert same(one.result().train, two.result().train)
    assert len(opened) == 20


def test_decoding_is_announced_with_its_size(tmp_path):
    seen = []
    load_folder(classes(tmp_path / "pets"), data_size=100, progress=seen.append)
    assert {progress.what for progress in seen} == {"decoding images to 100×100 (600 kB)"}


def test_a_full_disk_is_reported_before_decoding(tmp_path, monkeypatch):
    root = classes(tmp_path / "pets")
    opened = decodings(monkeypatch)
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"they need \S+ kB, 1\.0 kB are free; make room, lower data\.size"):
        load_folder(root, data_size=32)
    assert not opened


def test_progress_counts_every_image(tmp_path):
    seen = []
    load_folder(classes(tmp_path / "pets"), size=8, progress=seen.append)
    assert [p.done for p in seen] == list(range(1, 21))
    assert {(p.total, p.unit) for p in seen} == {(20, "images")}


def test_size_and_channels_follow_the_model_the_option_and_the_images(tmp_path):
    root = classes(tmp_path / "pets", size=(40, 24))
    assert load_folder(root).train.inputs.shape[1:] == (3, 24, 24)
    assert load_folder(root, size=12, channels=1).train.inputs.shape[1:] == (1, 12, 12)
    assert load_folder(root, size=12, data_size=10).train.inputs.shape[1:] == (3, 10, 10)


def test_an_image_is_resized_as_when_it_is_classified(tmp_path):
    root = classes(tmp_path / "pets")
    noise = np.random.default_rng(0).integers(0, 256, (50, 31, 3), np.uint8)
    Image.fromarray(noise).save(root / "cat" / "noise.png")
    data = load_folder(root, data_size=17)
    images = dict(
        zip(data.train.names + data.test.names, (*data.train.inputs, *data.test.inputs), strict=True)
    )
    image = crop_to_square(Image.fromarray(noise), 17)
    assert np.array_equal(images["cat/noise.png"].permute(1, 2, 0).numpy(), np.asarray(image))


def test_counts_are_known_without_decoding(tmp_path):
    classes(tmp_path / "pets", 3)
    draw(tmp_path / "pets" / "cat" / "more.png")
    assert scan_folder(tmp_path / "pets").counts() == {"all": [4, 3]}


def test_a_home_that_is_not_writable_is_an_error(tmp_path, home):
    root = classes(tmp_path / "pets")
    home.mkdir(exist_ok=True)
    (home / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="can't cache") as error:
        load_folder(root, size=8)
    assert "\n" not in str(error.value)


def test_a_full_disk_is_an_error_and_leaves_no_files(tmp_path, home):
    root = classes(tmp_path / "pets")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match="can't cache decoded images") as error:
            load_folder(root, data_size=32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert list((home / "cache" / "decoded").iterdir()) == []


def test_the_fingerprint_of_a_listing_does_not_change_between_versions():
    """Runs record it: another one for the same files would keep them from being resumed and evaluated."""
    train = [
        ListedImage("cat/a.png", 0, 120, 1700000000000000001),
        ListedImage("dog/it's.png", 1, 98, 1700000000000000002),
    ]
    test = [ListedImage("dog/b.png", 1, 77, 1700000000000000003)]
    listing = ImageListing(Path("/pets"), ("cat", "dog"), {"train": train, "test": test})
    assert listing.fingerprint_0_1() == "774de6f413b14fd96ae9d580cf0d86f0abe1b1e8c55a41578c3a176f42173a55"
    hashes = {image.path: "0" * 32 for image in [*train, *test]}
    assert listing.fingerprint(hashes) == "8c3800066726985b217a48ba15da74ddcf514c2253b4cea9614477e5a0b5e1cb"


def test_the_cropped_share_of_images_is_reported(tmp_path):
    root = classes(tmp_path / "pets")
    assert load_folder(root, size=16).notices == ()
    for name in ("cat", "dog"):
        for number in range(8):
            Image.new("RGBA", (90, 30), (0, 0, 0, 0)).save(root / name / f"wide-{number}.png")
    cropped, said = load_folder(root, size=16).notices
    assert (
        cropped.startswith("center crop: 57 % of an image is seen on average")
        and "33 % of a 90×30 image" in cropped
    )
    assert said.endswith("images checked: transparency blended with white")
    padded = load_folder(root, size=16, fit="pad")
    assert len(padded.notices) == 1 and padded.input.fit == "pad"
    index = next(i for i, name in enumerate(padded.train.names) if "wide" in name)
    assert padded.train.inputs[index][0, :, 8].unique().tolist() == [0, 255]  # black above and below white


def test_names_in_lists_are_never_taken_for_others(tmp_path):
    root = classes(tmp_path / "pets", names=(" cat", "cat, old", "dog"))
    draw(root / "loose.png")
    lines = list(describe_folder(facts_of_scan(scan_folder(root), 0.2)))
    assert lines[0] == "3 classes: ' cat', 'cat, old', dog"
    assert "left out: 1 image in no class folder" in lines
