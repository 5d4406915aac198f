"""The draft of the experiment pane on disk, so that it survives a restart of the screen."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from workbench.core.errors import UserError
from workbench.io.record_codec import Record, read_record, write_record
from workbench.ui.experiment.draft import Draft

FILE_NAME = "draft.json"


class DraftFile(Record, frozen=True, kw_only=True):
    """`draft.json`: the settings by their full names."""

    base: dict[str, Any]
    """Those of a recipe, of a run, or of a dataset and model."""
    overrides: dict[str, str]
    """Those that were changed, as typed."""


def save_draft(draft: Draft, home: Path) -> None:
    """Save the draft. A home that can't be written to is not an error."""
    base, overrides = draft.content
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = DraftFile(base=dict(base), overrides=dict(overrides))
        write_record(home / FILE_NAME, content, durable=False)
    except (OSError, TypeError, msgspec.MsgspecError):
        return


def load_draft(draft: Draft, home: Path) -> None:
    """Continue with the saved draft, if there is one that can still be edited."""
    saved = read_record(home / FILE_NAME, DraftFile)
    # What was written by another version or edited by hand may not be a draft of this one.
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        if saved is not None:
            draft.restore(saved.base, saved.overrides)
