"""The keys that work everywhere, and the line that shows them: made of the bindings, so that it is true."""

from __future__ import annotations

from textual.binding import Binding

PANE_KEYS = [Binding(number, f"pane('{number}')", f"pane {number}", show=False) for number in "1234567"]

RUN_KEYS = [
    Binding("t", "train", "train"),
    Binding("s", "stop", "stop"),
    Binding("r", "resume", "resume"),
    Binding("p", "pause", "pause"),
    Binding("left_square_bracket", "times_lr(0.5)", "learning rate ÷2", key_display="["),
    Binding("right_square_bracket", "times_lr(2)", "learning rate ×2", key_display="]"),
    Binding("minus", "add_epochs(-1)", "one epoch fewer", key_display="-"),
    Binding("plus", "add_epochs(1)", "one epoch more", key_display="+"),
    Binding("P", "release", "pause, giving the device's memory back", show=False),
    Binding("c", "checkpoint", "checkpoint now", show=False),
    Binding("d", "duplicate", "duplicate into the experiment", show=False),
    Binding("equals_sign", "compare", "compare", key_display="="),
    Binding("i", "notes", "name, tags and notes", show=False),
    Binding("e", "export", "export", show=False),
    Binding("x", "trash", "move to the trash", show=False),
    Binding("exclamation_mark,fullwidth_exclamation_mark", "log", "log", show=False, key_display="!"),
]

SCREEN_KEYS = [
    Binding("y", "copy", "copy what the cursor is on", show=False),
    Binding("u", "undo", "take back what was done last", show=False),
    Binding("z", "zoom", "zoom"),
    Binding("slash,fullwidth_solidus", "filter", "filter", key_display="/"),
    Binding("colon,fullwidth_colon,ctrl+p", "command_palette", "all", key_display=":"),
    Binding("question_mark,fullwidth_question_mark,f1", "keys", "keys", key_display="?"),
    Binding("q", "quit", "quit"),
    Binding("ctrl+q", "quit", "quit", show=False, priority=True),
    Binding("N", "notices", "what was said", show=False),
    Binding("B", "silence", "bell at the end of a run, or none", show=False),
    Binding("escape", "back", "back", show=False),
    Binding("h", "move('left')", "left", show=False),
    Binding("j", "move('down')", "down", show=False),
    Binding("k", "move('up')", "up", show=False),
    Binding("l", "move('right')", "right", show=False),
    Binding("g", "move('first')", "first", show=False),
    Binding("G", "move('last')", "last", show=False),
    Binding("ctrl+j", "enter", "enter", show=False, priority=True),
]
