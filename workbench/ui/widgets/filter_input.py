"""The input for a filter: what it can be completed to is shown behind the cursor, and `tab` takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.suggester import Suggester

from workbench.core.text import common_prefix, sanitize
from workbench.ui.widgets.text_input import TextInput

Complete = Callable[[str], Sequence[str]]
"""The texts that a text can be completed to, the most likely first."""


class FilterInput(TextInput):
    """An input line that completes what is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "complete", show=False)]

    def __init__(self, complete: Complete, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(placeholder=placeholder, id=id, compact=True, suggester=_Completion(complete))
        self._complete = complete

    def action_complete(self) -> None:
        """Complete as far as all completions agree; of completions that do not agree further, take the first."""
        found = self._complete(self.value)
        if found:
            prefix = common_prefix(found)
            self.value = prefix if len(prefix) > len(self.value) else found[0]
            self.cursor_position = len(self.value)


class _Completion(Suggester):
    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        return next(map(sanitize, self._complete(value)), None)
