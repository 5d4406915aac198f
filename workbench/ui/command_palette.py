"""The command palette: every action by name. Its list is made from the bindings."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import NamedTuple

from textual.actions import parse
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.widgets import OptionList

from workbench.core.text import sanitize
from workbench.ui.base.dialog import closes_now
from workbench.ui.base.pane import Pane
from workbench.ui.bindings import RUN_KEYS, SCREEN_KEYS
from workbench.ui.key_help import Section, section_of

OFFERED_SECTIONS = {Section.PANE, Section.SELECTED_RUN, Section.EVERYWHERE}
UNLISTED_ACTIONS = ("command_palette", "move_cursor(", "enter", "back")
"""What users don't search for by name."""


SYNONYMS = {
    "train": "start launch fit begin run",
    "train_queued": "queue wait enqueue later start",
    "move_in_queue": "order first last up down priority",
    "hold": "queue wait release keep",
    "stop": "kill end terminate abort cancel",
    "resume": "continue restart go on",
    "pause": "hold wait continue unpause",
    "suspend": "free memory release hold",
    "multiply_lr": "lr rate",
    "add_epochs": "longer shorter extend",
    "checkpoint": "save snapshot",
    "duplicate": "copy clone settings again",
    "load_best": "sweep optimum winner hyperparameters",
    "stop_sweep": "kill end abort cancel search",
    "resume_sweep": "continue search go on",
    "next_setting": "parameter marginal importance hyperparameter",
    "compare": "diff difference versus",
    "notes": "rename tag label comment annotate description",
    "export": "save write download csv onnx safetensors",
    "trash": "delete remove rm discard",
    "log": "output errors stdout stderr traceback",
    "copy_command": "reproduce repeat rerun shell clipboard yank",
    "copy": "yank clipboard path",
    "columns": "table fields settings metrics show hide width order sort",
    "sort": "order column",
    "reverse": "order sort descending ascending",
    "undo": "revert restore take back ctrl+z",
    "zoom": "maximize fullscreen full screen",
    "filter": "search find grep",
    "keys": "help shortcuts bindings hotkeys",
    "quit": "exit close leave",
    "notifications": "messages history warnings",
    "toggle_bell": "sound beep",
    "redraw": "refresh repaint clear",
    "suspend_process": "background shell ctrl+z",
}
"""What else the actions may be called, by the name of the action."""
MIN_SYNONYM_LETTERS = 2
SYNONYM_WEIGHT = 0.5
"""A match of a synonym stands below one of the name."""


class Palette(CommandPalette):
    """Textual's palette, of which all fits on a low screen too, and the cursor stays visible."""

    DEFAULT_CSS = """
    Palette > Vertical { margin-top: 0; }
    Palette CommandList { max-height: 60vh; }
    """

    def on_resize(self) -> None:
        for options in self.query(OptionList):  # none if it is closed before it was shown
            self.call_after_refresh(options.scroll_to_highlight)

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close it once, as a `Dialog`."""
        return super().dismiss(result) if closes_now(self, result) else AwaitComplete()


class Command(NamedTuple):
    """An entry of the palette."""

    name: str
    key: str
    help: str
    """The docstring of the action."""
    run: Callable[[], Awaitable[None]]
    synonyms: str = ""


class ActionCommands(Provider):
    """Every action that is available now.

    The search also finds the actions of the panes without the focus, and those that are not available: running one
    shows the reason.
    """

    async def discover(self) -> Hits:
        """The available actions, before anything is typed."""
        for command in self._available():
            label = f"{command.name}  ({command.key})".replace("[", "\\[")
            yield DiscoveryHit(label, command.run, command.name)

    async def search(self, query: str) -> Hits:
        """The actions whose name or a synonym matches `query`, or that there are none: else the palette is empty."""
        matcher, found = self.matcher(query), False
        for command in (*self._available(), *self._unavailable(), *self._in_other_panes()):
            score, label = matcher.match(command.name), matcher.highlight(command.name)
            if not score and len(query) >= MIN_SYNONYM_LETTERS and query.lower() in command.synonyms:
                score, label = SYNONYM_WEIGHT, Content(command.name)
            if score > 0:
                found = True
                label += f"  ({command.key})"
                yield Hit(score, label, command.run, text=command.name, help=command.help)
        if not found:
            text = f"no command matches '{sanitize(query, 40)}'"
            yield Hit(1.0, text.replace("[", "\\["), _do_nothing, text=query)

    def _available(self) -> Iterator[Command]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if section_of(active) not in OFFERED_SECTIONS or binding.action.startswith(UNLISTED_ACTIONS):
                continue
            if (active.node, binding.action) not in seen:
                seen.add((active.node, binding.action))
                key = self.app.get_key_display(binding)
                run = partial(self._run, binding.action, active.node)
                yield Command(
                    binding.description, key, _help(active.node, binding), run, _synonyms(binding.action)
                )

    def _unavailable(self) -> Iterator[Command]:
        active = {active.binding.action for active in self.screen.active_bindings.values()}
        for binding in Binding.make_bindings([*RUN_KEYS, *SCREEN_KEYS]):
            if binding.action not in active and not binding.action.startswith(UNLISTED_ACTIONS):
                key, run = self.app.get_key_display(binding), partial(self._run, binding.action, self.app)
                text = _help(self.app, binding)
                yield Command(binding.description, key, text, run, _synonyms(binding.action))

    def _in_other_panes(self) -> Iterator[Command]:
        with_keys = {active.node for active in self.screen.active_bindings.values()}
        for pane in self.screen.query(Pane):
            for binding in Binding.make_bindings(pane.BINDINGS) if pane not in with_keys else ():
                if binding.show:
                    name = f"{pane.spec.title}: {binding.description}"
                    run = partial(self._run_in_pane, binding.action, pane)
                    key = f"{pane.spec.key} {binding.key}"
                    yield Command(name, key, _help(pane, binding), run, _synonyms(binding.action))

    async def _run(self, action: str, node: DOMNode) -> None:
        await self.app.run_action(action, node)

    async def _run_in_pane(self, action: str, pane: Pane) -> None:
        await self.app.run_action(f"pane('{pane.ID}')")
        await self.app.run_action(action, pane)


def _synonyms(action: str) -> str:
    return SYNONYMS.get(parse(action)[1], "")


async def _do_nothing() -> None:
    return None


def _help(node: DOMNode, binding: Binding) -> str:
    """The first line of the docstring of a binding's action."""
    _, name, _ = parse(binding.action)
    documentation = inspect.getdoc(getattr(node, f"action_{name}", None)) or ""
    return documentation.partition("\n")[0].replace("[", "\\[")
