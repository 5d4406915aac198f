from __future__ import annotations

import pytest

from workbench.core import text
from workbench.core.distinct_names import shorten_distinct
from workbench.core.text import complete_name, sanitize, truncate
from workbench.core.user_code import short_name
from workbench.ui.widgets.cell_grid import to_cells


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[31mred",
        "\x1b]52;c;aGk=\x07",
        "\x9b31m",
        "a\nb",
        "a\rb",
        "a\bb",
        "a\0b",
        "a\u202eb",
        "a\u2066b",
        "\udcff",
    ],
)
def test_control_sequences_are_removed(hostile: str) -> None:
    shown = sanitize(hostile)
    assert "\N{REPLACEMENT CHARACTER}" in shown
    assert all(c.isprintable() for c in shown)
    shown.encode("utf-8")


def test_ordinary_text_is_left_alone() -> None:
    for ordinary in ("cat", "Müller", "[/]", "[red]x", "日本語", "a b", "👩‍🔬"):
        assert sanitize(ordinary) == ordinary


def test_long_wide_text_is_cut_by_cells() -> None:
    shown = sanitize("漢字" * 5000, 20)
    assert text.cell_width(shown) <= 20
    assert shown.endswith("…")
    assert sanitize("short", 20) == "short"


@pytest.mark.parametrize(
    ("shown", "cells"),
    [
        ("e\u0301", 1),  # a combining accent
        ("\u1112\u1161\u11ab", 2),  # the jamo of one Hangul syllable
        ("\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}", 2),  # joined by zero-width joiners
        ("\N{HEAVY BLACK HEART}\ufe0f", 2),  # shown as an emoji by variation selector 16
        ("\N{HEAVY BLACK HEART}", 1),
        ("\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}", 2),
        ("か\u3099", 2),
        ("猫", 2),
    ],
)
def test_cells_are_those_that_a_terminal_draws(shown: str, cells: int) -> None:
    assert text.cell_width(shown) == cells
    assert text.cell_width(text.pad(f"{shown}x", 6)) == 6
    cut = text.truncate(shown * 9, 2 * cells + 1)
    assert cut == shown * 2 + "…"  # never in the middle of a character
    grid = to_cells(f"{shown}|", "")
    assert len(grid) == cells + 1 and grid[0][0] == shown


def test_a_class_named_by_a_number_is_distinguished_from_an_index() -> None:
    assert [text.class_text(name) for name in ("3", "2.5", "cat", "a\x1b")] == [
        "class 3", "class 2.5", "cat", "a\N{REPLACEMENT CHARACTER}",
    ]  # fmt: skip


def test_pad_fills_to_exactly_the_width() -> None:
    for words in ("", "abc", "漢字漢字漢字漢字", "a" * 50):
        assert text.cell_width(text.pad(words, 11)) == 11


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0s"),
        (4.955, "5s"),
        (59.9, "1m00"),
        (725, "12m05"),
        (11300, "3h08"),
        (190000, "2d04h"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "now"), (0.5, "now"), (59, "59s ago"), (130, "2m ago"), (7300, "2h ago"), (9e5, "10d ago")],
)
def test_ages_have_one_unit(seconds: float, shown: str) -> None:
    assert text.format_age(seconds) == shown


def test_sizes_counts_and_fractions() -> None:
    assert [text.format_bytes(n) for n in (None, 12, 1500, 170_498_071)] == ["-", "12 B", "1.5 kB", "170 MB"]
    assert [text.format_count(n) for n in (None, 950, 42_500, 11_700_000, 61_000_000)] == [
        "-",
        "950",
        "42.5k",
        "11.7M",
        "61M",
    ]
    assert [text.format_fraction(v) for v in (None, 0.9134, 1.0, 0.0)] == ["-", ".913", "1.00", ".000"]


def test_an_exception_in_one_line() -> None:
    assert text.one_line(ValueError("two\n  lines ")) == "two lines"
    assert text.one_line(ValueError("long" * 100), 8) == "longlong"
    assert text.one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_learning_rate_has_three_digits() -> None:
    rates = (0.03, 0.0123456, 1e-3, 1.25e-5, 1.0, 0.0)
    assert [text.format_learning_rate(rate) for rate in rates] == [
        ".03",
        ".0123",
        ".001",
        "1.25e-5",
        "1",
        "0",
    ]


def test_how_much_is_done() -> None:
    assert text.format_progress(12e6, 170e6, "bytes") == "12.0 MB of 170 MB"
    assert text.format_progress(950, None, "images") == "950"


def test_names_stay_distinct_where_they_are_cut() -> None:
    names = ["resnet18-cifar10-lr.1", "resnet18-cifar10-lr.01", "short"]
    assert shorten_distinct(names, 30) == names
    shown = shorten_distinct(names[:2], 10)
    assert shown == ["resn…-lr.1", "resn…lr.01"]
    middle = shorten_distinct(["alpha-run-with-x-in-it-one", "beta-run-with-x-in-it-one"], 10)
    assert middle == [truncate("alpha-run-with-x-in-it-one", 10), truncate("beta-run-with-x-in-it-one", 10)]
    assert len(set(shorten_distinct(["数" * 20 + "a", "数" * 20 + "b"], 9))) == 2
    both = shorten_distinct([f"digits-mlp-lr{lr}-batch_size32" for lr in ("0.1", "0.03", "0.01")], 14)
    assert both == ["…lr0.1-batch_…", "…lr0.03-batch…", "…lr0.01-batch…"]
    grid = [f"digits-mlp-lr{lr}-batch_size{size}-seed0" for lr in (0.1, 0.03) for size in (32, 64)]
    shown = shorten_distinct([*grid, "digits-mlp-lr0.3"], 18)
    assert shown == ["…lr0.1-…32", "…lr0.1-…64", "…lr0.03-…32", "…lr0.03-…64", "digits-mlp-lr0.3"]
    labels = [
        f"digits{n}-mlp batch_size={size} lr={lr}"
        for n in ("", "-2")
        for size in (32, 64)
        for lr in (0.1, 0.03)
    ]
    shown = shorten_distinct(labels, 14)
    assert len(set(shown)) == 4, "as many of them as can be distinguished"
    others = shorten_distinct(["digits-mlp-lr0.1", "digits-mlp-lr0.3", "another-long-name"], 12)
    assert others == ["digit…-lr0.1", "digit…-lr0.3", "another-lon…"]


def test_a_short_name_has_no_path() -> None:
    assert short_name("/tmp/fresh/w/net.py:Net") == "net.py:Net"
    assert short_name("folder:/data/my pets") == "folder:my pets"
    assert short_name("fashion-mnist") == "fashion-mnist"


def test_a_text_is_completed_to_names_that_begin_as_all_of_it_or_as_its_last_word() -> None:
    names = ["golden retriever", "Golden eagle", "retina", "golden eagle"]
    assert complete_name("gold", names) == ["golden retriever", "Golden eagle", "golden eagle"]
    assert complete_name("golden r", names) == ["golden retriever"]
    assert complete_name("loss ret", names) == ["loss retina"]
    assert complete_name("golden eagle", names) == ["Golden eagle"]
    assert complete_name("", names) == complete_name("loss ", names) == []
