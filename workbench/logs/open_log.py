"""Opening a log with the reader for its format."""

from __future__ import annotations

from workbench.logs.event_log import EventLog
from workbench.logs.jsonl_log import JsonlLog
from workbench.logs.log import Log
from workbench.logs.source import LogFormat, LogSource
from workbench.logs.table_log import TableLog
from workbench.logs.trainer_state_log import TrainerStateLog
from workbench.logs.wandb_log import WandbLog

_READERS: dict[LogFormat, type[Log]] = {
    LogFormat.TENSORBOARD: EventLog,
    LogFormat.HUGGING_FACE: TrainerStateLog,
    LogFormat.WANDB: WandbLog,
    LogFormat.JSONL: JsonlLog,
}


def open_log(source: LogSource) -> Log:
    """A log of which nothing is read yet; `Log.poll` reads it."""
    return _READERS.get(source.format, TableLog)(source)
