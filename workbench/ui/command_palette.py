"""Everything by name: the command palette's list is made of the bindings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.binding import ActiveBinding, Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from workbench.ui.key_help import section

if TYPE_CHECKING:
    from workbench.ui.actions.navigation import Moving

OFFERED = {"pane", "the selected run", "everywhere"}
UNNAMED = ("command_palette", "move(", "enter", "back")
"""What nobody would look for by its name."""


class Commands(Provider):
    """Every action that can be done now, its key behind it."""

    def _actions(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[None]]]]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if section(active) not in OFFERED or binding.action.startswith(UNNAMED):
                continue
            if (active.node, binding.action) in seen:
                continue
            seen.add((active.node, binding.action))
            yield binding.description, self.app.get_key_display(binding), partial(self._run, active)

    def _elsewhere(self) -> Iterator[tuple[str, str, Callable[[], Awaitable[None]]]]:
        """What the other panes can do: only found by name, as there is much of it."""
        app = cast("Moving", self.app)
        for number, pane in app.panes.items():
            for binding in pane.BINDINGS if number != app.front else ():
                if isinstance(binding, Binding) and binding.show:
                    name = f"{pane.NAME}: {binding.description}"
                    yield name, f"{number} {binding.key}", partial(self._go_and_do, number, binding.action)

    async def _go_and_do(self, number: str, action: str) -> None:
        await self.app.run_action(f"pane('{number}')")
        await self.app.run_action(action, cast("Moving", self.app).panes[number])

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, key, run in self._actions():
            yield DiscoveryHit(f"{name}  ({key})".replace("[", "\\["), run, name)

    async def search(self, query: str) -> Hits:
        """Those whose name is like `query`."""
        matcher = self.matcher(query)
        for name, key, run in (*self._actions(), *self._elsewhere()):
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name) + f"  ({key})", run, text=name)

    async def _run(self, active: ActiveBinding) -> None:
        await self.app.run_action(active.binding.action, active.node)
