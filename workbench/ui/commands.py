"""Everything by name: the command palette's list is made of the bindings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from workbench.ui.keys import section

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

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, key, run in self._actions():
            yield DiscoveryHit(f"{name}  ({key})".replace("[", "\\["), run, name)

    async def search(self, query: str) -> Hits:
        """Those whose name is like `query`."""
        matcher = self.matcher(query)
        for name, _, run in self._actions():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), run, text=name)

    async def _run(self, active: ActiveBinding) -> None:
        await self.app.run_action(active.binding.action, active.node)
