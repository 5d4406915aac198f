from __future__ import annotations

import pytest

from workbench.charts.metric_names import Section, matches, sections

NAMES = [
    "train/loss",
    "train/acc",
    "val/loss",
    "lr",
    "layer10/norm",
    "layer2/norm",
    "layer2/bias",
    "layer10/bias",
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", NAMES),
        ("loss", ["train/loss", "val/loss"]),
        ("LOSS val", ["val/loss"]),
        ("train/", ["train/loss", "train/acc"]),
        ("*/loss", ["train/loss", "val/loss"]),
        ("loss*", []),
        ("val|lr", ["val/loss", "lr"]),
        ("^l.*norm$", ["layer10/norm", "layer2/norm"]),
        ("layer.*bias", ["layer2/bias", "layer10/bias"]),
        ("layer[", []),
        ("nothing", []),
    ],
)
def test_a_filter_is_words_globs_or_regular_expressions(text, found):
    assert [name for name in NAMES if matches(text)(name)] == found


def test_sections_are_the_common_prefixes_and_losses_come_first():
    assert sections(NAMES) == [
        Section("", ["val/loss", "lr"]),
        Section("train", ["train/loss", "train/acc"]),
        Section("layer2", ["layer2/bias", "layer2/norm"]),
        Section("layer10", ["layer10/bias", "layer10/norm"]),
    ]
    machine = ["machine/cpu", "machine/memory", "zoo/a", "zoo/b", "val/x", "val/y"]
    assert [section.prefix for section in sections(machine)] == ["val", "zoo", "machine"]


def test_numbers_in_names_are_compared_by_their_value():
    assert sections([f"gpu{n}" for n in (10, 9, 1)])[0].names == ["gpu1", "gpu9", "gpu10"]
    assert sections(["a1", "1/a", "a/1", "²"])[0].names == ["1/a", "a1", "a/1", "²"]
