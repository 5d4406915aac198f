"""What happens after an unexpected exception in the app: one line for the user, the traceback in a file.

Textual has no public way to replace its own traceback on the terminal: `App.panic` and `App.exit` only add text to it,
and nothing of an exception is left after `App.run` but the return code. This is the only module that overrides or
reads private members of Textual (`_handle_exception`, `_fatal_error`, `_exit`).
"""

from __future__ import annotations

from rich.text import Text
from textual.app import App

from workbench.ui.terminal import write_traceback


class CrashReport(App[None]):
    """Reports an exception in one line. An exception while the app exits is ignored."""

    def _handle_exception(self, error: Exception) -> None:
        # While the app exits, widgets are removed that others still query.
        if not self._exit:
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        log = write_traceback()
        self.panic(
            Text(f"workbench: internal error in the terminal app; runs keep running (traceback: {log})")
        )
