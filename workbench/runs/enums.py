"""Enumerations in the records of a run: phases, endings and their causes, requests and their outcomes."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The activity of a worker."""

    LOADING = "loading"
    TUNING = "tuning"
    TRAINING = "training"
    EVALUATING = "evaluating"
    RUNNING = "running"
    """A script runs."""
    PAUSED = "paused"
    WAITING_FOR_SPACE = "waiting for space"
    WAITING_FOR_NODES = "waiting for nodes"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    ENDED = "ended"
    """The last phase of an attempt in the journal."""

    @property
    def idle(self) -> bool:
        """Whether no progress is expected: the run is paused, waits for disk space or a node, or is stopping."""
        return self in {Phase.PAUSED, Phase.WAITING_FOR_SPACE, Phase.WAITING_FOR_NODES, Phase.STOPPING}


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
    TIME_LIMIT = "time limit"
    """`--max-hours` had passed."""
    REQUEUED = "requeued"
    """Slurm needed its nodes; it has put the job back into its queue, and the run goes on from there."""
    DEPENDENCY = "dependency"
    """The run was queued to follow another one, which did not succeed."""
    PRUNED = "pruned"
    """A sweep stopped it early, because other trials were better at the same epoch."""
    SIGNAL = "signal"
    SUPERVISOR_ENDED = "supervisor ended"
    DISK_FULL = "disk full"
    OUT_OF_MEMORY = "out of memory"
    NON_FINITE_LOSS = "non-finite loss"
    INVALID_INPUT = "invalid input"
    """The experiment, the data or the model is invalid."""
    TAKEN_OVER = "taken over"
    MISSING_NODE = "missing node"
    """A node did not come, or not come back, in time."""
    CRASH = "crash"
    """The worker process died without recording its end."""
    ERROR = "error"
    """An unexpected exception."""

    @property
    def intended(self) -> bool:
        """Whether this end was requested or planned, and is not a failure."""
        return self in {
            Cause.COMPLETED, Cause.EARLY_STOPPING, Cause.REQUESTED, Cause.SIGNAL, Cause.SUPERVISOR_ENDED,
            Cause.TAKEN_OVER, Cause.TIME_LIMIT, Cause.DEPENDENCY, Cause.PRUNED, Cause.REQUEUED,
        }  # fmt: skip


class NodeEvent(StrEnum):
    """What has happened to a node of a run."""

    JOINED = "joined"
    LOST = "lost"
    BACK = "back"
    REFUSED = "refused"


class ChangeCause(StrEnum):
    """Why a worker changed a setting without a request."""

    ROLLBACK = "rollback"
    OUT_OF_MEMORY = "out of memory"
    TIME_LIMIT = "time limit"

    @classmethod
    def _missing_(cls, value: object) -> ChangeCause | None:
        return cls.ROLLBACK if value == "went back" else None  # the name in version 0.1.0


class RequestKind(StrEnum):
    """The requests that a running worker accepts."""

    STOP = "stop"
    CHECKPOINT = "checkpoint"
    PAUSE = "pause"
    CONTINUE = "continue"
    LR = "lr"
    EPOCHS = "epochs"


class Outcome(StrEnum):
    """The outcome of a request."""

    DONE = "done"
    REJECTED = "rejected"
    ENDED = "ended"
    """The run ended before the request was processed."""
