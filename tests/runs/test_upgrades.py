"""Records of version 0.1.0 under the current names; whole runs of it are in test_stored_runs.py."""

from __future__ import annotations

import ast
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.core.progress import Progress
from workbench.io.record_codec import decode, encode, read_record
from workbench.runs import upgrades
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.enums import Cause, Ending, Outcome, RequestKind
from workbench.runs.journal import AnsweredRequest, Attempt, JournalLine, SettingChange
from workbench.runs.metrics import EvaluationRow
from workbench.runs.records import Exit, Feature, Heartbeat, RequestFile, RequestValues, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.worker.checkpoint_reader import load_entry

STORED = Path(__file__).parents[1] / "stored_runs" / "0.1.0" / "home" / "runs"


@pytest.mark.parametrize("path", sorted(STORED.glob("*/setup.json")), ids=lambda path: path.parent.name)
def test_setup_keys_of_0_1_0_are_read(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    setup = read_record(path, Setup)
    assert setup is not None
    assert setup.execution == content["ways"] and setup.log_every == content["report_every"]
    skipped = [["broken.png", "not an image"]]
    upgraded = decode(json.dumps({**content, "set_aside": skipped}).encode(), Setup)
    assert upgraded is not None and upgraded.skipped_files == (("broken.png", "not an image"),)
    written = json.loads(encode(upgraded))
    assert written.keys().isdisjoint({"ways", "set_aside", "report_every"})
    assert decode(encode(upgraded), Setup) == upgraded
    feature = content["cuda_graph"]
    assert setup.cuda_graph.reason == feature["why"] != "" and setup.cuda_graph.enabled is feature["used"]
    assert written["cuda_graph"] == {"reason": feature["why"]}


RENAMED: list[tuple[Any, dict[str, object], str, str]] = [
    (Heartbeat, {"saved": 12.5}, "checkpoint_saved_at", "saved"),
    (JournalLine, {"kind": "change", "setting": "train.lr", "why": "went back"}, "cause", "why"),
    (JournalLine, {"kind": "notice", "before": {"loss": 1.0}, "now": {"loss": 2.0}}, "after", "now"),
]
"""Records of 0.1.0 by type, with a current key and its former name."""


@pytest.mark.parametrize(("type", "content", "key", "former"), RENAMED)
def test_a_renamed_key_is_read_by_both_names_and_written_by_the_current_one(
    type: Any, content: dict[str, object], key: str, former: str
) -> None:
    record: Any = decode(json.dumps(content).encode(), type)
    assert getattr(record, key)
    written = json.loads(encode(record))
    assert key in written and former not in written
    assert decode(encode(record), type) == record
    both: Any = decode(json.dumps({**written, former: content[former]}).encode(), type)
    assert both == record


def test_a_live_worker_of_0_1_0_understands_a_suspend_request() -> None:
    record = RequestFile(request=RequestKind.PAUSE, values=RequestValues(suspend=True))
    assert json.loads(encode(record))["values"] == {"release": True}
    assert decode(encode(record), RequestFile) == record


def test_a_checkpoint_of_0_1_0_has_its_current_keys() -> None:
    folder = RunFolder(next(STORED.glob("*stored-digits*")))
    content = load_entry(folder, read_entries(folder)[-1])
    setup = read_record(folder.setup, Setup)
    assert setup is not None and content["log_every"] == setup.log_every and "report_every" not in content


def test_keys_are_named_like_their_attributes_except_documented_ones() -> None:
    """The rule is in `runs.records`."""
    unexplained = []
    for path in (Path(__file__).parents[2] / "workbench").rglob("*.py"):
        for cls in (
            node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ClassDef)
        ):
            for field, following in itertools.pairwise([*cls.body, ast.Pass()]):
                key = _key_of(field)
                text = following.value if isinstance(following, ast.Expr) else None
                words = text.value if isinstance(text, ast.Constant) else ""
                if key not in (None, "class") and "key" not in str(words):
                    unexplained.append(f"{path.name}: {key}")
    assert not unexplained


def _key_of(field: ast.stmt) -> str | None:
    """The key of a field of a Struct, where it is not the name of the attribute."""
    call = field.value if isinstance(field, ast.AnnAssign) else None
    if not isinstance(call, ast.Call):
        return None
    names = (keyword.value for keyword in call.keywords if keyword.arg == "name")
    return next((str(name.value) for name in names if isinstance(name, ast.Constant)), None)


def test_settings_in_a_journal_of_0_1_0_are_read() -> None:
    attempt = {"kind": "attempt", "attempt": 2, "overrides": {"train.clip_norm": 5.0, "train.epochs": 3}}
    record = decode(json.dumps(attempt).encode(), JournalLine)  # type: ignore[arg-type]
    assert isinstance(record, Attempt) and record.attempt == 2
    assert record.overrides == {"train.max_grad_norm": 5.0, "train.epochs": 3}
    change = {"kind": "change", "setting": "train.on_nan", "value": "go_back", "before": "stop", "step": 4}
    record = decode(json.dumps(change).encode(), JournalLine)  # type: ignore[arg-type]
    assert isinstance(record, SettingChange)
    assert (record.setting, record.value, record.before) == ("train.on_nan", "rollback", "stop")
    change = {"kind": "change", "setting": "train.on_nan", "value": "stop", "before": "go_back"}
    record = decode(json.dumps(change).encode(), JournalLine)  # type: ignore[arg-type]
    assert isinstance(record, SettingChange) and (record.value, record.before) == ("stop", "rollback")
    change = {"kind": "change", "setting": "train.clip_norm", "value": 5.0, "before": 1.0}
    record = decode(json.dumps(change).encode(), JournalLine)  # type: ignore[arg-type]
    assert isinstance(record, SettingChange) and record.setting == "train.max_grad_norm"


def test_damaged_settings_in_a_journal_are_left_out() -> None:
    attempt = decode(b'{"kind": "attempt", "attempt": 2, "overrides": 7}', JournalLine)  # type: ignore[arg-type]
    assert isinstance(attempt, Attempt) and attempt.attempt == 2 and not attempt.overrides
    assert decode(b'{"kind": "change", "setting": 7}', JournalLine) is None  # type: ignore[arg-type]


def test_the_status_lost_of_0_1_0_is_crashed() -> None:
    row = decode(b'{"id": "x", "name": "x", "status": "lost"}', RunSummary)
    assert row is not None and row.status is Status.CRASHED
    assert Status.CRASHED.value == "crashed"
    with pytest.raises(ValueError, match="asleep"):
        Status("asleep")


def test_the_unit_of_progress_of_0_1_0_is_read() -> None:
    progress = {"what": "decoding", "done": 1, "total": None, "unit": "pictures"}
    beat = decode(json.dumps({"attempt": 3, "progress": progress}).encode(), Heartbeat)
    assert beat == Heartbeat(attempt=3, progress=Progress("decoding", 1, None, "images"))
    beat = decode(json.dumps({"progress": {**progress, "unit": "bytes"}}).encode(), Heartbeat)
    assert beat is not None and beat.progress == Progress("decoding", 1, None, "bytes")


def test_a_heartbeat_of_0_1_0_that_has_a_checkpoint_gives_its_own_time_for_it() -> None:
    beat = decode(b'{"attempt": 3, "saved": true, "time": 12.5}', Heartbeat)
    assert beat == Heartbeat(attempt=3, checkpoint_saved_at=12.5, time=12.5)
    beat = decode(b'{"attempt": 3, "saved": false, "time": 12.5}', Heartbeat)
    assert beat is not None and not beat.checkpoint_saved_at


def test_values_of_the_model_of_0_1_0_are_read_from_beside_the_metrics() -> None:
    row = {"v": 1, "kind": "evaluation", "step": 5, "epoch": 2, "mse": 0.5, "weight": 2, "bias": "Infinity"}
    wanted = EvaluationRow(step=5, epoch=2, mse=0.5, model={"weight": 2.0, "bias": math.inf})
    assert decode(json.dumps({**row, "unknown": [1]}).encode(), EvaluationRow) == wanted
    assert decode(encode(wanted), EvaluationRow) == wanted


def test_of_a_former_and_a_current_key_the_current_one_counts() -> None:
    assert upgrades.checkpoint({"log_every": 5, "report_every": 7}) == {"log_every": 5}


def test_features_of_0_1_0_are_read() -> None:
    feature = {"used": True, "why": "x"}
    setup = decode(json.dumps({"compile": feature, "cuda_graph": feature}).encode(), Setup)
    assert setup == Setup(
        compile=Feature(enabled=True, reason="x"), cuda_graph=Feature(enabled=True, reason="x")
    )


@pytest.mark.parametrize(
    ("written", "text", "outcome"),
    [
        ("not done: train.lr must be > 0", "train.lr must be > 0", Outcome.REJECTED),
        ("the run has finished", "the run has finished", Outcome.ENDED),
        ("going on", "going on", Outcome.DONE),
    ],
)
def test_the_outcome_of_a_request_of_0_1_0_is_read_from_its_text(
    written: str, text: str, outcome: Outcome
) -> None:
    line = json.dumps({"kind": "answer", "request": "lr", "id": "x", "text": written})
    record = decode(line.encode(), JournalLine)  # type: ignore[arg-type]
    assert isinstance(record, AnsweredRequest) and (record.text, record.outcome) == (text, outcome)
    file = decode(json.dumps({"request": "lr", "answer": written}).encode(), RequestFile)
    assert file is not None and (file.answer, file.outcome or Outcome.DONE) == (text, outcome)


def test_a_text_of_today_does_not_change_the_outcome() -> None:
    file = RequestFile(request=RequestKind.LR, answer="not done: x", outcome=Outcome.DONE)
    assert decode(encode(file), RequestFile) == file
    assert decode(b'{"request": "stop", "answer": 7}', RequestFile) == RequestFile(request=RequestKind.STOP)


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [
        ("finished", None, Cause.COMPLETED),
        ("stopped", "stopped on request", Cause.REQUESTED),
        ("stopped", "stopped by SIGTERM", Cause.SIGNAL),
        ("stopped", "stopped because its supervisor ended", Cause.SUPERVISOR_ENDED),
        ("failed", "the loss is nan", None),
        ("stopped", 7, None),
    ],
)
def test_the_cause_of_an_end_of_0_1_0_is_read_from_its_reason(
    status: str, reason: object, cause: Cause | None
) -> None:
    record = decode(json.dumps({"status": status, "attempt": 1, "reason": reason}).encode(), Exit)
    assert record is not None and (record.cause, record.attempt) == (cause, 1)


def test_a_recorded_cause_is_kept() -> None:
    record = Exit(status=Ending.FINISHED, cause=Cause.EARLY_STOPPING)
    assert decode(encode(record), Exit) == record


def test_a_screen_of_0_1_0_starts_the_current_supervisor() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for module in ("workbench.runs.supervise", "workbench.launcher.supervisor")
    ]
    assert "--ready-fd" in outputs[0] and outputs[0].split()[2:] == outputs[1].split()[2:]
