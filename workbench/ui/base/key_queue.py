"""Keys in their order: a key is handled only after everything that the previous key triggered is done.

Textual sends a key to whatever has the focus when it arrives. Over a slow connection several keys arrive at once: with
`enter` to open an input and a path typed after it, the path would reach the app's own keys (and `s` would stop a
run) before the input has the focus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.message_pump import MessagePump

IDLE_SECONDS = 1.0
"""Once the app has had nothing to do for so long, the next key is handled, whatever the previous one still awaits."""
MAX_WAIT_SECONDS = 10.0
"""After this time the next key is handled in any case."""
CHECK_SECONDS = 0.05
LATE_SECONDS = 0.02
"""An app whose timer is later than this was busy, or the machine was."""


class OrderedKeys(App[None]):
    """Queues keys and pasted text while the previous key is being handled."""

    def __init__(self, *, ansi_color: bool | None = None, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class, ansi_color=ansi_color)
        self._queue: deque[events.Event] = deque()
        self._counter = 0
        """Incremented before and after each key: odd while one is being handled."""

    async def on_event(self, event: events.Event) -> None:
        """Handle typed events one at a time, in their order; everything else as it comes."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._counter % 2:
            self._queue.append(event)
        else:
            await self._handle(event)

    async def _handle(self, event: events.Event) -> None:
        self._counter += 1
        finish = partial(self._finish, self._counter)
        self._check_later(self._counter, monotonic(), 0.0)
        target = self.focused
        await super().on_event(event)
        nodes = [] if target is None else list(target.ancestors_with_self)[:-1]
        # Twice: behind the key itself, and behind the messages that widgets posted in response to it.
        self._call_after(nodes, partial(self._call_after, nodes, finish))

    def _check_later(self, counter: int, began: float, idle: float) -> None:
        """Check after a moment whether the key of this number, handled since `began`, holds up an idle app."""
        due = monotonic() + CHECK_SECONDS
        self.set_timer(CHECK_SECONDS, partial(self._check, counter, began, idle, due))

    async def _check(self, counter: int, began: float, idle: float, due: float) -> None:
        if counter != self._counter:
            return
        now = monotonic()
        idle += CHECK_SECONDS if now - due < LATE_SECONDS else 0.0
        if idle >= IDLE_SECONDS or now - began >= MAX_WAIT_SECONDS:
            await self._finish(counter)
        else:
            self._check_later(counter, began, idle)

    def _call_after(self, nodes: Sequence[MessagePump], callback: Callable[[], object]) -> None:
        """Follow what bubbles: queue a callback behind it in each of the `nodes`, the innermost first."""
        for index, node in enumerate(nodes):
            if node.call_later(self._call_after, nodes[index + 1 :], callback):
                return
        # Once more through the app's own queue: the key may have queued a change of focus there.
        self.call_later(self.call_later, self.call_later, callback)

    async def _finish(self, counter: int) -> None:
        if counter != self._counter:
            return
        self._counter += 1
        if self._queue:
            await self._handle(self._queue.popleft())
