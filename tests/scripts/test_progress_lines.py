"""Lines of known programs, as they print them."""

from __future__ import annotations

import io

import pytest
from tqdm import tqdm

from workbench.core.progress import Progress
from workbench.scripts.progress import ScriptProgress
from workbench.scripts.progress_lines import LineProgress, parse_progress


def test_lines_of_the_real_tqdm() -> None:
    out = io.StringIO()
    with tqdm(
        total=2_500_000, initial=500_000, desc="Epoch 3/8", file=out, unit_scale=True, ascii=False
    ) as bar:
        bar.update(750_000)
        bar.refresh()
    lines = [line for line in out.getvalue().replace("\r", "\n").split("\n") if "1.25M" in line]
    line = parse_progress(lines[-1])
    assert line is not None
    assert (line.what, line.done, line.total, line.epoch, line.epochs) == (
        "Epoch 3/8",
        1_250_000,
        2_500_000,
        3,
        8,
    )
    assert line.eta is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 45%|████▌     | 45/100 [00:10<00:12,  4.50it/s, loss=0.3]", LineProgress("", 45, 100, 12.0)),
        ("Epoch 3:  10%|█  | 10/94 [00:01<1:02:03,  9.1it/s, v_num=0]", LineProgress("Epoch 3", 10, 94, 3723.0, 3)),
        ("  0%|          | 0/1250 [00:00<?, ?it/s]", LineProgress("", 0, 1250, None)),
        ("\x1b[1m  5/188\x1b[0m \x1b[32m━\x1b[0m\x1b[37m━━━━━━━━━━━━━━\x1b[0m \x1b[1m3s\x1b[0m 19ms/step - loss: 2.2",
         LineProgress("", 5, 188, 3.0)),
        ("188/188 [==============================] - 2s 9ms/step - loss: 0.3", LineProgress("", 188, 188, None)),
        (" 32/188 [====>.........................] - ETA: 1:05 - loss: 0.3", LineProgress("", 32, 188, 65.0)),
        ("Epoch 2/10", LineProgress(epoch=2, epochs=10)),
        ("Train Epoch: 2 of 14 Loss: 0.3", LineProgress(epoch=2, epochs=14)),
        ("Train Epoch: 2 [640/60000 (1%)]\tLoss: 0.3", None),
        ("loading 3/10 files", None),
        ("accuracy 0.93", None),
        ("", None),
    ],
)  # fmt: skip
def test_progress_of_a_line(text: str, expected: LineProgress | None) -> None:
    assert parse_progress(text) == expected


def test_the_eta_is_that_of_the_whole_script_where_epochs_are_counted() -> None:
    now = 0.0
    progress = ScriptProgress(clock=lambda: now)
    progress.add_line("Epoch 1/4")
    for done, now in ((0, 0.0), (50, 5.0), (100, 10.0)):  # noqa: B007  (the clock reads it)
        progress.add_line(f"{done}/100 ━━━━━━━━━━ 1s 10ms/step")
    assert progress.eta == pytest.approx(30.0)
    assert progress.progress == Progress("epoch 1", 100, 100)
    progress.add_line("Epoch 2/4")
    assert (progress.epoch, progress.epochs_total) == (1, 4)


def test_the_eta_is_that_of_the_bar_where_there_are_no_epochs() -> None:
    progress = ScriptProgress()
    progress.add_line("Downloading:  45%|████▌     | 45/100 [00:10<00:12,  4.50it/s]")
    assert (progress.eta, progress.progress) == (12.0, Progress("Downloading", 45, 100))
