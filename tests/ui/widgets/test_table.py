from __future__ import annotations

from textual.app import App

from workbench.ui.widgets.table import Column, Row, Table, fit

COLUMNS = (
    Column("name", "name", 10, keep=9, least=4),
    Column("size", "size", 6, keep=2, right=True),
    Column("bar", "", 8, keep=5, least=3),
)


def rows(names):
    return [
        Row(name, {"name": name, "size": str(len(name)), "bar": lambda width: "▇" * width}) for name in names
    ]


class Shown(App):
    def __init__(self):
        super().__init__()
        self.heard = []

    def compose(self):
        yield Table()

    def on_mount(self):
        self.query_one(Table).focus()

    def on_table_moved(self, message):
        self.heard.append(("moved", message.key))

    def on_table_chosen(self, message):
        self.heard.append(("chosen", message.key))

    def on_table_head_clicked(self, message):
        self.heard.append(("head", message.column))


def test_columns_shrink_then_the_least_wanted_go():
    assert [(c.key, w) for c, w in fit(COLUMNS, 40)] == [("name", 10), ("size", 6), ("bar", 8)]
    assert [(c.key, w) for c, w in fit(COLUMNS, 22)] == [("name", 10), ("size", 6), ("bar", 4)]
    assert [(c.key, w) for c, w in fit(COLUMNS, 12)] == [("name", 8), ("bar", 3)]
    assert [(c.key, w) for c, w in fit(COLUMNS, 3)] == [("name", 3)]
    assert fit((), 10) == []


async def test_the_cursor_stays_on_its_row_and_the_row_where_it_stands():
    names = [f"row{k:02d}" for k in range(40)]
    async with Shown().run_test(size=(30, 11)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows(names))
        await pilot.press(*["down"] * 17, *["up"] * 3)
        line = next(y for y, shown in enumerate(table.lines) if shown.startswith("▸"))
        assert table.key == "row14"
        table.show(COLUMNS, rows(["new1", "new2", *names[::-1]]))
        assert table.key == "row14"
        assert table.lines[line].startswith("▸row14")


async def test_a_cursor_that_nobody_moved_stays_at_the_top():
    async with Shown().run_test(size=(30, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows("abc"))
        table.show(COLUMNS, rows("zabc"))
        await pilot.pause()
        assert table.key == "z"


async def test_a_row_that_goes_leaves_the_cursor_among_the_others():
    async with Shown().run_test(size=(30, 6)) as pilot:
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


async def test_keys_and_clicks_move_choose_and_name_columns():
    async with Shown().run_test(size=(30, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show(COLUMNS, rows([f"row{k}" for k in range(9)]))
        await pilot.press("j", "j", "k", "enter", "G", "g", "pagedown", "home", "end")
        await pilot.click(Table, offset=(2, 2))
        await pilot.click(Table, offset=(13, 0))
        await pilot.pause()
        said = [key for what, key in pilot.app.heard if what == "moved"]
        assert said == ["row1", "row2", "row1", "row8", "row0", "row5", "row0", "row8", "row5"]
        assert ("chosen", "row1") in pilot.app.heard and ("head", "size") in pilot.app.heard
