"""The words of a run's records that decide something: phases, endings and their causes, requests and outcomes."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What a worker is doing."""

    LOADING = "loading"
    TUNING = "tuning"
    TRAINING = "training"
    EVALUATING = "evaluating"
    PAUSED = "paused"
    WAITING_FOR_SPACE = "waiting for space"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    ENDED = "ended"
    """Closes an attempt in the journal."""

    @property
    def idle(self) -> bool:
        """Whether no progress is expected: the run waits for a person or for disk space, or is ending."""
        return self in {Phase.PAUSED, Phase.WAITING_FOR_SPACE, Phase.STOPPING}


class Ending(StrEnum):
    """How an attempt ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class Cause(StrEnum):
    """Why an attempt ended."""

    COMPLETED = "completed"
    EARLY_STOPPING = "early stopping"
    REQUESTED = "requested"
    SIGNAL = "signal"
    SUPERVISOR_ENDED = "supervisor ended"
    DISK_FULL = "disk full"
    OUT_OF_MEMORY = "out of memory"
    NON_FINITE_LOSS = "non-finite loss"
    INVALID_INPUT = "invalid input"
    """The experiment, the data or the model can't be used as they are."""
    TAKEN_OVER = "taken over"
    CRASH = "crash"
    """The worker process died without recording its end."""
    ERROR = "error"
    """An exception that nobody expected."""

    @property
    def intended(self) -> bool:
        """Whether somebody wanted this end: no failure to report."""
        return self in {
            Cause.COMPLETED, Cause.EARLY_STOPPING, Cause.REQUESTED, Cause.SIGNAL, Cause.SUPERVISOR_ENDED,
            Cause.TAKEN_OVER,
        }  # fmt: skip


class ChangeCause(StrEnum):
    """Why a worker changed a setting by itself."""

    ROLLBACK = "rollback"
    OUT_OF_MEMORY = "out of memory"

    @classmethod
    def _missing_(cls, value: object) -> ChangeCause | None:
        return cls.ROLLBACK if value == "went back" else None  # as 0.1.0 wrote it


class RequestKind(StrEnum):
    """What can be asked of a running worker."""

    STOP = "stop"
    CHECKPOINT = "checkpoint"
    PAUSE = "pause"
    CONTINUE = "continue"
    LR = "lr"
    EPOCHS = "epochs"


class Outcome(StrEnum):
    """What became of a request."""

    DONE = "done"
    REJECTED = "rejected"
    ENDED = "ended"
    """The run ended before it came to it."""
