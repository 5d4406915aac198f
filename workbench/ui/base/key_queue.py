"""Keys one after another: a key is looked at only when what the key before it set off is done.

Textual hands keys to whatever has the focus when they arrive. Over a slow connection several arrive at once: with
`enter` to open a line and a path typed behind it, the path would reach the screen's own keys (and `s` would stop a
run) before the line is there to take it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

PATIENCE = 1.0
"""Seconds after which the next key is looked at whatever the one before does."""


class KeysInOrder(App[None]):
    """Holds keys and pasted text back while the key before them is being handled."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._held: deque[events.Event] = deque()
        self._handling = 0
        """Counts keys; odd while one is being handled."""

    async def on_event(self, event: events.Event) -> None:
        """Take typed events one at a time, in their order, everything else as it comes."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._handling % 2:
            self._held.append(event)
        else:
            await self._handle(event)

    async def _handle(self, event: events.Event) -> None:
        self._handling += 1
        done = partial(self._go_on, self._handling)
        self.set_timer(PATIENCE, done)
        target = self.focused
        await super().on_event(event)
        nodes = [] if target is None else list(target.ancestors_with_self)[:-1]
        # Twice: behind the key itself, and behind the messages that widgets on its way answered it with.
        self._follow(nodes, partial(self._follow, nodes, done))

    def _follow(self, nodes: Sequence[MessagePump], then: Callable[[], object]) -> None:
        """Walk up behind what bubbles: a callback is queued behind it in each widget on its way."""
        for place, node in enumerate(nodes):
            if node.call_later(self._follow, nodes[place + 1 :], then):
                return
        # Once more round the app's own queue: setting the focus is queued there by what the key did.
        self.call_later(self.call_later, self.call_later, then)

    async def _go_on(self, handled: int) -> None:
        if handled != self._handling:
            return
        self._handling += 1
        if self._held:
            await self._handle(self._held.popleft())
