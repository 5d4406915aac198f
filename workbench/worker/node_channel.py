"""What the agents of several nodes say to each other: records in torchrun's TCPStore, which the first node hosts.

It is the store in which the elastic agents meet, too. Keys:

- `offer`: what the first node has, for those that come.
- `joins`, `refusals`: lists, to which the other nodes append.
- `beat/N`: a sign of life of the node that was the Nth to join, renewed every second.
- `start`: who takes part, once all are there.
- `end/N`: how the ranks of a node have ended.
- `stops`: a list with an entry for each request to stop the run that a node had.
- `verdict`: how the attempt has ended. `seen`: a list with an entry for each node that has read it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from torch._C._distributed_c10d import TCPStore

from workbench.core.errors import UserError
from workbench.io.record_codec import Record, decode, encode
from workbench.runs.enums import Ending
from workbench.runs.journal import Attempt
from workbench.runs.nodes import NodeUsage
from workbench.runs.records import Exit
from workbench.system.network import Endpoint

OFFER, JOINS, REFUSALS, BEAT, START, END, STOPS, VERDICT, SEEN = (
    "offer", "joins", "refusals", "beat", "start", "end", "stops", "verdict", "seen",
)  # fmt: skip
PREFIX = "workbench/"
STORE_TIMEOUT = timedelta(seconds=20)

R = TypeVar("R")


class ChannelClosed(Exception):
    """The first node does not answer any more."""


class Offer(Record, frozen=True, kw_only=True):
    """The run of the first node."""

    run: str
    host: str
    attempts: tuple[Attempt, ...]
    """Those at the run up to this one."""
    experiment: str
    """The content of `experiment.json`."""
    code: str = ""
    """The version of the user's code, as `code_version`."""

    @property
    def attempt(self) -> Attempt:
        """The attempt for which nodes are wanted."""
        return self.attempts[-1]


class Join(Record, frozen=True, kw_only=True):
    """A node that comes."""

    host: str
    address: str = ""
    """From which it reaches the first node."""


class Refusal(Record, frozen=True, kw_only=True):
    """A node that has come with something else."""

    host: str
    reason: str


class Beat(Record, frozen=True, kw_only=True):
    """A sign of life."""

    count: int
    usage: NodeUsage = NodeUsage()


class Start(Record, frozen=True, kw_only=True):
    """Who takes part."""

    members: tuple[int, ...]
    """Places in `joins`."""


class RanksEnd(Record, frozen=True, kw_only=True):
    """How the ranks of a node have ended."""

    codes: dict[int, int] = {}
    """Exit codes of those that failed, by rank."""
    failure: Exit | None = None
    """The first failure that one of them has recorded."""


class Verdict(Record, frozen=True, kw_only=True):
    """How an attempt has ended."""

    end: Exit | None = None
    """How the run has ended; `None` if it goes on with another attempt."""
    suspended: bool = False
    """Whether it is paused until somebody continues it."""

    @property
    def is_failure(self) -> bool:
        """Whether the run has failed."""
        return self.end is not None and self.end.status is Ending.FAILED


class Sender(Record, frozen=True, kw_only=True):
    """The node that an entry of `stops` or `seen` is from."""

    host: str


class Channel:
    """Typed records by key. Operations raise `ChannelClosed`."""

    def __init__(self, store: TCPStore) -> None:
        self._store = store

    @classmethod
    def host(cls, endpoint: Endpoint) -> Channel:
        """As the first node. Raises `UserError` where the port is in use."""
        try:
            return cls(
                TCPStore(
                    endpoint.host, endpoint.port, is_master=True, wait_for_workers=False, multi_tenant=True,
                    timeout=STORE_TIMEOUT,
                )
            )  # fmt: skip
        except RuntimeError:
            raise UserError(
                f"port {endpoint.port} of this host is in use; choose another one with --rdzv"
            ) from None

    @classmethod
    def connect(cls, endpoint: Endpoint) -> Channel:
        """As another node."""
        try:
            store = TCPStore(
                endpoint.host, endpoint.port, is_master=False, wait_for_workers=False, multi_tenant=True,
                timeout=STORE_TIMEOUT,
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise ChannelClosed from error
        return cls(store)

    def put(self, key: str, record: Record) -> None:
        """Set a record."""
        self._call(lambda: self._store.set(PREFIX + key, encode(record).decode()))

    def get(self, key: str, type: type[R]) -> R | None:
        """The record of a key; `None` while there is none."""
        if not self._call(lambda: self._store.check([PREFIX + key])):
            return None
        return decode(self._call(lambda: self._store.get(PREFIX + key)), type)

    def append(self, key: str, record: Record) -> int:
        """Append a record to a list; returns its place, from 1."""
        place = int(self._call(lambda: self._store.add(PREFIX + key, 1)))
        self.put(f"{key}/{place}", record)
        return place

    def count(self, key: str) -> int:
        """How many records a list has; the last ones may not be there yet."""
        return int(self._call(lambda: self._store.add(PREFIX + key, 0)))

    def _call(self, operation: Any) -> Any:
        try:
            return operation()
        except RuntimeError as error:  # torch's errors of stores and of the network are such
            raise ChannelClosed from error


def item(key: str, place: int) -> str:
    """The key of a list's record, or of what a node says."""
    return f"{key}/{place}"
