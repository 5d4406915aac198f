"""An input line for text that may come from outside."""

from __future__ import annotations

from textual.widgets import Input

from workbench.core.text import sanitize


class TextInput(Input):
    """An input line in which control characters are replaced: Textual would send them to the terminal as they are.

    What is typed is harmless, but files, runs and the clipboard are from outside.
    """

    def validate_value(self, value: str) -> str:
        """The value with as many characters, all of which can be displayed."""
        return sanitize(value)
