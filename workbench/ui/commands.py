"""Everything by name: the command palette's list is made of the bindings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider


class Commands(Provider):
    """Every action that can be done now, its key behind it."""

    def _actions(self) -> Iterator[tuple[str, str, str]]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not active.enabled or not binding.description or binding.action == "command_palette":
                continue
            if (active.node, binding.action) in seen:
                continue
            seen.add((active.node, binding.action))
            yield binding.description, self.app.get_key_display(binding), binding.action

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, key, action in self._actions():
            yield DiscoveryHit(f"{name}  ({key})".replace("[", "\\["), partial(self._run, action), name)

    async def search(self, query: str) -> Hits:
        """Those whose name is like `query`."""
        matcher = self.matcher(query)
        for name, _, action in self._actions():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), partial(self._run, action), text=name)

    async def _run(self, action: str) -> None:
        await self.app.run_action(action, self.app.focused or self.app)
