"""The keys that work everywhere; the key bar, the key help and the command palette are made from them."""

from __future__ import annotations

from textual.binding import Binding

from workbench.ui.base.layout import PANES

PANE_KEYS = [
    Binding(spec.key, f"pane('{pane_id}')", spec.title, show=False) for pane_id, spec in PANES.items()
]

RUN_KEYS = [
    Binding("t", "train", "train"),
    Binding("T", "train_queued", "train when a device is free (queue)"),
    Binding("S", "search", "search settings (sweep)", show=False),
    Binding("s", "stop", "stop"),
    Binding("r", "resume", "resume"),
    Binding("p", "pause", "pause"),
    Binding("left_square_bracket", "multiply_lr(0.5)", "learning rate ÷2", key_display="["),
    Binding("right_square_bracket", "multiply_lr(2)", "learning rate ×2", key_display="]"),
    Binding("minus", "add_epochs(-1)", "one epoch fewer", key_display="-"),
    Binding("plus", "add_epochs(1)", "one epoch more", key_display="+"),
    Binding("P", "suspend", "suspend: pause and free the memory", show=False),
    Binding("c", "checkpoint", "checkpoint now", show=False),
    Binding("K", "move_in_queue('up')", "earlier in the queue"),
    Binding("J", "move_in_queue('down')", "later in the queue"),
    Binding("H", "hold", "hold in the queue, or release"),
    Binding("d", "duplicate", "duplicate into the experiment", show=False),
    Binding("equals_sign", "compare", "compare", key_display="="),
    Binding("Y", "copy_command", "copy the command that repeats the run", show=False),
    Binding("i", "notes", "name, tags and notes", show=False),
    Binding("I", "logged_images", "images that the run has logged", show=False),
    Binding("e", "export", "export the run", show=False),
    Binding("x", "trash", "move to trash", show=False),
    Binding("exclamation_mark,fullwidth_exclamation_mark", "log", "log", show=False, key_display="!"),
]

SCREEN_KEYS = [
    Binding("y", "copy", "copy the current item", show=False),
    Binding("u", "undo", "undo", show=False),
    Binding("z", "zoom", "zoom"),
    Binding("slash,fullwidth_solidus", "filter", "filter", key_display="/"),
    Binding("colon,fullwidth_colon,ctrl+p", "command_palette", "commands", key_display=":"),
    Binding("question_mark,fullwidth_question_mark,f1", "keys", "keys", key_display="?"),
    Binding("q", "quit", "quit"),
    Binding("ctrl+q", "quit", "quit", show=False, priority=True),
    Binding("N", "notifications", "notification history", show=False),
    Binding("B", "toggle_bell", "toggle bell", show=False),
    Binding("ctrl+l", "redraw", "redraw the screen", show=False, priority=True),
    Binding("ctrl+z", "suspend_process", "suspend the screen; fg returns", show=False, priority=True),
    Binding("escape", "back", "back", show=False),
    Binding("h", "move_cursor('left')", "left", show=False),
    Binding("j", "move_cursor('down')", "down", show=False),
    Binding("k", "move_cursor('up')", "up", show=False),
    Binding("l", "move_cursor('right')", "right", show=False),
    Binding("g", "move_cursor('first')", "first", show=False),
    Binding("G", "move_cursor('last')", "last", show=False),
    Binding("ctrl+j", "enter", "enter", show=False, priority=True),
]
