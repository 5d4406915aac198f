from __future__ import annotations

import threading

from workbench.compute.protocol import ProgressUpdate, ServerMessage, Warm
from workbench.compute.task import Task
from workbench.core.progress import Progress


def test_the_newest_progress_is_sent_however_soon_it_follows_another() -> None:
    sent, last = list[str](), threading.Event()

    def send(message: ServerMessage) -> None:
        assert isinstance(message, ProgressUpdate)
        sent.append(message.progress.what)
        if sent[-1] == "step 99":
            last.set()

    task = Task(1, Warm(), send)
    for step in range(100):
        task.progress(Progress(f"step {step}", 0, None, "images"))
    assert last.wait(10)
    assert sent[0] == "step 0" and len(sent) < 100
