"""Progress of a request to the compute process, as text."""

from __future__ import annotations

from workbench.core.progress import Progress
from workbench.core.text import format_progress


def progress_text(progress: Progress) -> str:
    """`decoding 300 of 5k`; without numbers if there is nothing to count."""
    done, total = progress.done, progress.total
    counted = f" {format_progress(done, total, progress.unit)}" if done or total else ""
    return f"{progress.what}{counted}"
