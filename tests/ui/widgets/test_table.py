from __future__ import annotations

from textual.app import App

from workbench.ui.widgets.table import Column, Row, Table, fit_columns

COLUMNS = (
    Column("name", "name", 10, priority=9, min_width=4),
    Column("size", "size", 6, priority=2, align_right=True),
    Column("bar", "", 8, priority=5, min_width=3),
)


def rows(names):
    return [
        Row(name, {"name": name, "size": str(len(name)), "bar": lambda width: "▇" * width}) for name in names
    ]


class TableApp(App):
    def __init__(self):
        super().__init__()
        self.messages = []

    def compose(self):
        yield Table()

    def on_mount(self):
        self.query_one(Table).focus()

    def on_table_row_highlighted(self, message):
        self.messages.append(("moved", message.key))

    def on_table_row_selected(self, message):
        self.messages.append(("chosen", message.key))

    def on_table_header_selected(self, message):
        self.messages.append(("head", message.column))


def test_columns_shrink_then_those_of_low_priority_are_hidden():
    assert [(c.key, w) for c, w in fit_columns(COLUMNS, 40)] == [("name", 10), ("size", 6), ("bar", 8)]
    assert [(c.key, w) for c, w in fit_columns(COLUMNS, 22)] == [("name", 10), ("size", 6), ("bar", 4)]
    assert [(c.key, w) for c, w in fit_columns(COLUMNS, 12)] == [("name", 8), ("bar", 3)]
    assert [(c.key, w) for c, w in fit_columns(COLUMNS, 3)] == [("name", 3)]
    assert fit_columns((), 10) == []


async def test_the_cursor_stays_on_its_row_and_screen_line():
    names = [f"row{k:02d}" for k in range(40)]
    async with TableApp().run_test(size=(30, 11)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows(names))
        await pilot.press(*["down"] * 17, *["up"] * 3)
        line = next(y for y, shown in enumerate(table.lines) if shown.startswith("▸"))
        assert table.key == "row14"
        table.show(COLUMNS, rows(["new1", "new2", *names[::-1]]))
        assert table.key == "row14"
        assert table.lines[line].startswith("▸row14")


async def test_a_cursor_that_was_not_moved_stays_at_the_top():
    async with TableApp().run_test(size=(30, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows("abc"))
        table.show(COLUMNS, rows("zabc"))
        await pilot.pause()
        assert table.key == "z"


async def test_the_cursor_stays_valid_when_its_row_is_removed():
    async with TableApp().run_test(size=(30, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows("abc"))
        await pilot.press("G")
        table.show(COLUMNS, rows("ab"))
        assert table.key == "b"
        table.show(COLUMNS, ())
        assert table.key is None
        await pilot.press("down", "G", "enter", "pageup")
        table.show(COLUMNS, rows("x"))
        assert table.key == "x"


async def test_keys_and_clicks_move_select_rows_and_headers():
    async with TableApp().run_test(size=(30, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows([f"row{k}" for k in range(9)]))
        await pilot.press("j", "j", "k", "enter", "G", "g", "pagedown", "home", "end")
        await pilot.click(Table, offset=(2, 2))
        await pilot.click(Table, offset=(13, 0))
        await pilot.pause()
        keys = [key for what, key in pilot.app.messages if what == "moved"]
        assert keys == ["row1", "row2", "row1", "row8", "row0", "row5", "row0", "row8", "row5"]
        assert ("chosen", "row1") in pilot.app.messages and ("head", "size") in pilot.app.messages
