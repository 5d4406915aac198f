"""Forms, finders and path completion."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from workbench.core.errors import UserError
from workbench.core.text import cell_width, common_prefix
from workbench.ui.widgets.chooser import Chooser, Finder, Option, filter_options, format_columns, path_options
from workbench.ui.widgets.form import Editor, Field, Form, render_field
from workbench.ui.widgets.path_completion import DisplayedPaths, complete_path

FIELDS = [
    Field("data", "dataset", "digits", "pick"),
    Field("train", "train", "", "heading"),
    Field("lr", "lr", "0.1", "number", help="how far a step goes"),
    Field("nesterov", "nesterov", "no", "yes/no"),
    Field("optimizer", "optimizer", "adam", "choice", choices=("sgd", "adam")),
]


def no_letters(key: str, text: str) -> str | None:
    return f"{key} must be a number" if text.isalpha() else None


class FormApp(App[None]):
    """A form, and the messages it posted."""

    BINDINGS = [("q", "quit_pressed", "quit")]

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[object] = []

    def compose(self) -> ComposeResult:
        yield Form(no_letters)

    def on_mount(self) -> None:
        self.form.show(FIELDS)
        self.form.focus()

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    def action_quit_pressed(self) -> None:
        self.messages.append("q")

    def on_form_changed(self, event: Form.Changed) -> None:
        self.messages.append((event.key, event.value))

    def on_form_opened(self, event: Form.Opened) -> None:
        self.messages.append(event.field.key)

    def on_form_reset(self, event: Form.Reset) -> None:
        self.messages.append(("default", event.key))


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends, "the condition did not become true"
        await pilot.pause(0.01)


async def test_letters_belong_to_the_app_until_a_row_is_opened() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("q", "down", "enter")
        await until(pilot, lambda: app.form.editor)
        await pilot.press("q", "escape")
        await until(pilot, lambda: app.form.editor is None)
        assert app.messages == ["q"]
        await pilot.press("q")
        assert app.messages == ["q", "q"] and app.form.has_focus


async def test_an_invalid_value_is_reported_while_typing_and_not_accepted() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.form.editor)
        await pilot.press("a", "b", "enter")
        editor = app.query_one(Editor)
        assert "✗ lr must be a number" in str(editor.query_one("#message").render())
        assert app.messages == []
        await pilot.press("backspace", "backspace", *"0.5", "enter")
        await until(pilot, lambda: app.messages)
        assert app.messages == [("lr", "0.5")]
        assert all(row.display for row in app.form.rows)


async def test_each_kind_of_row_opens() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("enter", "down", "down", "space", "down", "enter", "up", "delete")
        await until(pilot, lambda: len(app.messages) == 4)
        assert app.messages == ["data", ("nesterov", "yes"), "optimizer", ("default", "nesterov")]


async def test_the_cursor_stays_on_its_key_and_skips_headings() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("down", "up", "down", "j")
        assert app.form.highlighted == FIELDS[3]
        app.form.show([Field("new", "new", "1"), *FIELDS])
        await until(pilot, lambda: len(app.form.rows) == 6)
        assert app.form.highlighted == FIELDS[3]
        await pilot.press("G", "g")
        assert app.form.highlighted.key == "new"


async def test_a_changed_row_is_repainted_without_remounting_the_others() -> None:
    app = FormApp()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        before = app.form.rows
        app.form.show([*FIELDS[:2], Field("lr", "lr", "0.7", "number", changed=True), *FIELDS[3:]])
        await pilot.pause()
        assert app.form.rows == before
        assert "0.7" in before[2].render().plain


@pytest.mark.parametrize("width", [8, 20, 40, 120])
def test_a_row_fits_its_width_and_sanitizes_hostile_text(width: int) -> None:
    row = render_field(
        Field("k", "\x1b[31mlabel", "[red]\x1b]52;c;x" * 9, help="日本語" * 40), width, highlighted=True
    )
    assert "\x1b" not in row.plain and cell_width(row.plain) <= width


# The finder


class Choosing(App[None]):
    def __init__(self, finder: Finder) -> None:
        super().__init__()
        self.finder, self.answers = finder, list[str | None]()

    def on_mount(self) -> None:
        self.push_screen(Chooser("[choose]", self.finder), self.answers.append)


ROWS = [
    Option("a", ("alpha", "first of all"), "one"),
    Option("b", ("beta", "second"), "two"),
    Option("c", ("gamma", "b"), "two"),
]


async def test_typing_filters_and_enter_chooses_the_highlighted_option() -> None:
    app = Choosing(Finder(filter_options(ROWS)))
    async with app.run_test(size=(40, 12)) as pilot:
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 5)
        await pilot.press("down", "down", "up")
        await pilot.press("b")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 3)
        await pilot.press("enter")
        assert app.answers == ["b"]


async def test_a_chooser_opens_on_the_current_option_and_leaving_it_changes_nothing() -> None:
    app = Choosing(Finder(filter_options(ROWS), current="b"))
    async with app.run_test(size=(40, 12)) as pilot:
        items = app.screen.query_one(OptionList)
        await until(pilot, lambda: items.highlighted == 3)
        await pilot.resize_terminal(50, 14)
        assert items.highlighted == 3
        await pilot.press("enter")
        assert app.answers == [None]


async def test_the_first_match_of_typed_text_is_taken_whatever_was_highlighted() -> None:
    app = Choosing(Finder(filter_options(ROWS), current="c"))
    async with app.run_test(size=(40, 12)) as pilot:
        await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 4)
        await pilot.press("b")  # beta and, in its description, gamma
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 3)
        await pilot.press("enter")
        assert app.answers == ["b"]


async def test_esc_chooses_nothing() -> None:
    app = Choosing(Finder(filter_options(ROWS)))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("escape")
        assert app.answers == [None]


async def test_an_invalid_choice_is_reported_and_the_finder_stays_open() -> None:
    def refuse(key: str) -> None:
        raise UserError(f"there is no {key}")

    app = Choosing(Finder(filter_options([]), check=refuse, allow_text=True))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press(*"zz", "enter")
        await pilot.pause()
        assert app.answers == []
        assert "there is no zz" in str(app.screen.query_one("#hint").render())


@pytest.mark.parametrize(
    "pasted",
    ["'{folder}/my dog.jpg'", '"{folder}/my dog.jpg"', "{folder}/my\\ dog.jpg", "file://{folder}/my%20dog.jpg\n",
     "file://localhost{folder}/my%20dog.jpg", "  {folder}/my dog.jpg\r\n", "{folder}/my dog.jpg"],
)  # fmt: skip
async def test_a_pasted_path_is_understood(pasted: str, tmp_path: Path) -> None:
    (tmp_path / "my dog.jpg").write_text("")
    app = Choosing(Finder(path_options((".jpg",)), highlight_first=False, allow_text=True))
    async with app.run_test(size=(80, 12)) as pilot:
        app.post_message(events.Paste(pasted.format(folder=tmp_path)))
        await until(pilot, lambda: app.screen.query_one(Input).value)
        await pilot.press("enter")
        await until(pilot, lambda: app.answers)
        assert app.answers == [f"{tmp_path}/my dog.jpg"]


async def test_tab_completes_a_path_and_a_file_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    for name in ("dog.jpg", "door.png", "notes.txt"):
        (tmp_path / "images" / name).write_text("")
    monkeypatch.chdir(tmp_path)
    app = Choosing(Finder(path_options((".jpg", ".png")), highlight_first=False, allow_text=True))
    async with app.run_test(size=(60, 12)) as pilot:
        field = app.screen.query_one(Input)
        for press, value in (("im", "images/"), ("", "images/do"), ("g", "images/dog.jpg")):
            await pilot.press(*press)
            await pilot.pause()
            await pilot.press("tab")
            assert field.value == value
        await pilot.press("enter")
        assert app.answers == ["images/dog.jpg"]


async def test_a_name_that_is_not_utf8_is_displayed_and_can_be_chosen(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\x1b.png"
    Path(os.fsdecode(raw)).write_bytes(b"")
    app = Choosing(
        Finder(path_options((".png",)), value=f"{tmp_path}/", highlight_first=False, allow_text=True)
    )
    async with app.run_test(size=(90, 12)) as pilot:
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("tab")
        assert app.screen.query_one(Input).value == f"{tmp_path}/caf\ufffd\ufffd.png"
        await pilot.press("enter")
        assert [os.fsencode(str(answer)) for answer in app.answers] == [raw]


@pytest.mark.parametrize("width", [10, 30, 60, 100])
def test_columns_are_aligned_within_the_width(width: int) -> None:
    rows = [
        Option("a", ("short", "what it is " * 5, "10", "✓ here")),
        Option("b", ("longer-name", "日本", "1000", "↓ 5 GB")),
    ]
    lines = format_columns(rows, width, drop_columns=(2,))
    assert all(cell_width(line) <= width for line in lines)
    if width == 100:
        assert lines[0].index("✓") == lines[1].index("↓") + 2  # two wide characters stand before it


def test_completion_lists_folders_first_and_omits_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    for name in ("a.png", "b.txt", ".hidden.png"):
        (tmp_path / name).write_text("")
    base = f"{tmp_path}/"
    assert complete_path(base, (".png",)) == [base + "zoo/", base + "a.png"]
    assert complete_path(base + ".h", (".png",)) == [base + ".hidden.png"]
    assert complete_path(base, folders_only=True) == [base + "zoo/"]
    assert complete_path(base + "nowhere/x") == [] and complete_path("\0") == []


def test_paths_are_listed_by_their_last_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "cat.png").write_text("")
    assert path_options((".png",))("z") == [Option("zoo/", ("zoo/",), expands=True)]
    assert path_options((), prefix="folder:", expand_folders=False)("folder:./z") == [
        Option("folder:./zoo/", ("zoo/",))
    ]
    assert path_options((".png",))("zoo/") == [Option("zoo/cat.png", ("cat.png",))]


def test_common_prefix_and_displayed_paths() -> None:
    assert (
        common_prefix(["dog.png", "door.png"]) == "do"
        and common_prefix([]) == ""
        and common_prefix(["one"]) == "one"
    )
    names = DisplayedPaths()
    assert names.resolve(names.display("a\udce9/") + "b.png") == "a\udce9/b.png"
