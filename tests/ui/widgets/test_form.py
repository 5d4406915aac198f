"""The form's rows, the finder over them, and paths that are completed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from workbench.core.errors import BadInput
from workbench.core.text import cell_width
from workbench.ui.widgets.chooser import Chooser, Finder, Row, files, filtering, lay_out
from workbench.ui.widgets.form import Editor, Field, Form, draw
from workbench.ui.widgets.path_completion import Names, common, complete

FIELDS = [
    Field("data", "dataset", "digits", "pick"),
    Field("train", "train", "", "heading"),
    Field("lr", "lr", "0.1", "number", help="how far a step goes"),
    Field("nesterov", "nesterov", "no", "yes/no"),
    Field("optimizer", "optimizer", "adam", "choice", choices=("sgd", "adam")),
]


def no_letters(key: str, text: str) -> str | None:
    return f"{key} must be a number" if text.isalpha() else None


class Shown(App[None]):
    """A form, and what it said."""

    BINDINGS = [("q", "quit_said", "quit")]

    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []

    def compose(self) -> ComposeResult:
        yield Form(no_letters)

    def on_mount(self) -> None:
        self.form.show(FIELDS)
        self.form.focus()

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    def action_quit_said(self) -> None:
        self.said.append("q")

    def on_form_changed(self, event: Form.Changed) -> None:
        self.said.append((event.key, event.value))

    def on_form_opened(self, event: Form.Opened) -> None:
        self.said.append(event.field.key)

    def on_form_reset(self, event: Form.Reset) -> None:
        self.said.append(("default", event.key))


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    for _ in range(200):
        if true():
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come to that")


async def test_letters_belong_to_the_app_until_a_row_is_opened() -> None:
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("q", "down", "enter")
        await until(pilot, lambda: app.form.editor)
        await pilot.press("q", "escape")
        await until(pilot, lambda: app.form.editor is None)
        assert app.said == ["q"]
        await pilot.press("q")
        assert app.said == ["q", "q"] and app.form.has_focus


async def test_what_is_wrong_is_said_while_it_is_typed_and_enter_does_not_take_it() -> None:
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.form.editor)
        await pilot.press("a", "b", "enter")
        editor = app.query_one(Editor)
        assert "✗ lr must be a number" in str(editor.query_one("#message").render())
        assert app.said == []
        await pilot.press("backspace", "backspace", *"0.5", "enter")
        await until(pilot, lambda: app.said)
        assert app.said == [("lr", "0.5")]
        assert all(row.display for row in app.form.rows)


async def test_each_kind_of_row_opens_in_its_way() -> None:
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("enter", "down", "down", "space", "down", "enter", "up", "delete")
        await until(pilot, lambda: len(app.said) == 4)
        assert app.said == ["data", ("nesterov", "yes"), "optimizer", ("default", "nesterov")]


async def test_the_cursor_stays_on_its_key_and_headings_are_passed_over() -> None:
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        await pilot.press("down", "up", "down", "j")
        assert app.form.pointed == FIELDS[3]
        app.form.show([Field("new", "new", "1"), *FIELDS])
        await until(pilot, lambda: len(app.form.rows) == 6)
        assert app.form.pointed == FIELDS[3]
        await pilot.press("G", "g")
        assert app.form.pointed.key == "new"


async def test_a_row_that_changed_is_repainted_and_its_neighbours_are_the_same_widgets() -> None:
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: len(app.form.rows) == 5)
        before = app.form.rows
        app.form.show([*FIELDS[:2], Field("lr", "lr", "0.7", "number", changed=True), *FIELDS[3:]])
        await pilot.pause()
        assert app.form.rows == before
        assert "0.7" in before[2].render().plain


@pytest.mark.parametrize("width", [8, 20, 40, 120])
def test_a_row_keeps_to_its_width_and_shows_hostile_text_as_it_is(width: int) -> None:
    row = draw(Field("k", "\x1b[31mlabel", "[red]\x1b]52;c;x" * 9, help="日本語" * 40), width, pointed=True)
    assert "\x1b" not in row.plain and cell_width(row.plain) <= width


# The finder


class Choosing(App[None]):
    def __init__(self, finder: Finder) -> None:
        super().__init__()
        self.finder, self.answers = finder, list[str | None]()

    def on_mount(self) -> None:
        self.push_screen(Chooser("[choose]", self.finder), self.answers.append)


ROWS = [
    Row("a", ("alpha", "first of all"), "one"),
    Row("b", ("beta", "second"), "two"),
    Row("c", ("gamma", "b"), "two"),
]


async def test_typing_filters_and_enter_takes_the_row_at_the_cursor() -> None:
    app = Choosing(Finder(filtering(ROWS)))
    async with app.run_test(size=(40, 12)) as pilot:
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 5)
        await pilot.press("down", "down", "up")
        await pilot.press("b")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 3)
        await pilot.press("enter")
        assert app.answers == ["b"]


async def test_esc_takes_nothing() -> None:
    app = Choosing(Finder(filtering(ROWS)))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("escape")
        assert app.answers == [None]


async def test_what_can_not_be_chosen_is_said_and_nothing_closes() -> None:
    def refuse(key: str) -> None:
        raise BadInput(f"there is no {key}")

    app = Choosing(Finder(filtering([]), check=refuse, typed=True))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press(*"zz", "enter")
        await pilot.pause()
        assert app.answers == []
        assert "there is no zz" in str(app.screen.query_one("#said").render())


async def test_tab_completes_a_path_and_a_file_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("dog.jpg", "door.png", "notes.txt"):
        (tmp_path / "pictures" / name).write_text("")
    monkeypatch.chdir(tmp_path)
    app = Choosing(Finder(files((".jpg", ".png")), point_first=False, typed=True))
    async with app.run_test(size=(60, 12)) as pilot:
        field = app.screen.query_one(Input)
        for press, value in (("pi", "pictures/"), ("", "pictures/do"), ("g", "pictures/dog.jpg")):
            await pilot.press(*press)
            await pilot.pause()
            await pilot.press("tab")
            assert field.value == value
        await pilot.press("enter")
        assert app.answers == ["pictures/dog.jpg"]


async def test_a_name_that_is_no_utf8_is_shown_and_still_chosen(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\x1b.png"
    Path(os.fsdecode(raw)).write_bytes(b"")
    app = Choosing(Finder(files((".png",)), value=f"{tmp_path}/", point_first=False, typed=True))
    async with app.run_test(size=(90, 12)) as pilot:
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("tab")
        assert app.screen.query_one(Input).value == f"{tmp_path}/caf\ufffd\ufffd.png"
        await pilot.press("enter")
        assert [os.fsencode(str(answer)) for answer in app.answers] == [raw]


@pytest.mark.parametrize("width", [10, 30, 60, 100])
def test_columns_stand_under_each_other_within_the_width(width: int) -> None:
    rows = [
        Row("a", ("short", "what it is " * 5, "10", "✓ here")),
        Row("b", ("longer-name", "日本", "1000", "↓ 5 GB")),
    ]
    lines = lay_out(rows, width, drop=(2,))
    assert all(cell_width(line) <= width for line in lines)
    if width == 100:
        assert lines[0].index("✓") == lines[1].index("↓") + 2  # two wide characters stand before it


def test_completion_lists_folders_first_and_hides_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    for name in ("a.png", "b.txt", ".hidden.png"):
        (tmp_path / name).write_text("")
    base = f"{tmp_path}/"
    assert complete(base, (".png",)) == [base + "zoo/", base + "a.png"]
    assert complete(base + ".h", (".png",)) == [base + ".hidden.png"]
    assert complete(base, folders_only=True) == [base + "zoo/"]
    assert complete(base + "nowhere/x") == [] and complete("\0") == []


def test_paths_are_listed_by_what_tells_them_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "cat.png").write_text("")
    assert files((".png",))("z") == [Row("zoo/", ("zoo/",), leads=True)]
    assert files((), prefix="folder:", leads=False)("folder:./z") == [Row("folder:./zoo/", ("zoo/",))]
    assert files((".png",))("zoo/") == [Row("zoo/cat.png", ("cat.png",))]


def test_names_and_what_they_have_in_common() -> None:
    assert common(["dog.png", "door.png"]) == "do" and common([]) == "" and common(["one"]) == "one"
    names = Names()
    assert names.real(names.show("a\udce9/") + "b.png") == "a\udce9/b.png"
