"""The agent of the first node of a run: waits for the others, starts its ranks with theirs, and decides what follows.

Rank 0, the run's folder and the store in which all agents meet are on this node. If another node is lost, the attempt
ends and the supervisor starts the next one, which waits for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping

from workbench.core.errors import UserError
from workbench.core.text import format_duration
from workbench.launcher.placement import endpoint_of
from workbench.runs.attempts import last_attempt_number
from workbench.runs.checkpoint_index import newest_checkpoint_step
from workbench.runs.enums import Cause, Ending, RequestKind
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.locks import WRITER, RunLock
from workbench.runs.nodes import Placement, describe_missing, read_placement
from workbench.runs.records import Exit
from workbench.runs.requests import LOST_NODE_EXIT_CODE, SUSPENDED_EXIT_CODE, StopReason, send_request
from workbench.runs.run_folder import RunFolder
from workbench.system.host import host_name
from workbench.system.processes import hold_during_forks
from workbench.worker.agent import import_for_forks
from workbench.worker.agent_end import (
    CONSEQUENCES,
    exit_codes,
    killed_rank,
    recorded_end,
    recorded_failure,
    write_end,
)
from workbench.worker.agent_signals import forward_signals
from workbench.worker.agent_wait import waiting
from workbench.worker.attempt_end import log
from workbench.worker.context import Context, make_context
from workbench.worker.elastic import Meeting, MeetingBroken, kill_ranks, run_ranks
from workbench.worker.node_channel import (
    END,
    OFFER,
    SEEN,
    START,
    STOPS,
    VERDICT,
    Channel,
    ChannelClosed,
    Offer,
    RanksEnd,
    Start,
    Verdict,
    item,
)
from workbench.worker.node_check import code_version
from workbench.worker.node_network import use_interface_towards
from workbench.worker.node_table import LOST_SECONDS, SILENT_SECONDS, Member, NodeTable

POLL_SECONDS = 0.2
REPORT_SECONDS = 60.0
"""How long the first node waits for the others to say how their ranks have ended, while they give signs of life."""
SEEN_SECONDS = 5.0
"""How long it then waits until they have read what follows."""


def run(folder: RunFolder, attempt: Attempt, *, forked: bool) -> int:
    """Train with the other nodes; returns the exit code of a worker."""
    placement, lock = read_placement(folder), RunLock(folder.lock)
    if not lock.acquire(WRITER):
        log(f"another process is already writing {folder.path}")
        return 1
    context = make_context(folder, attempt.attempt, time.monotonic())
    try:
        channel = Channel.host(endpoint_of(placement))
    except UserError as error:
        _end(folder, attempt, Ending.FAILED, StopReason(Cause.INVALID_INPUT, f"--rdzv: {error}"))
        return 1
    table = NodeTable(folder, attempt, context.journal, channel, host_name())
    channel.put(OFFER, _offer(folder, attempt))
    import_for_forks(forked)
    reason = _wait_for_nodes(context, placement, table)
    if reason is not None:
        status = Ending.FAILED if reason.cause is Cause.MISSING_NODE else Ending.STOPPED
        end = _end(folder, attempt, status, reason)
        _give_verdict(channel, Verdict(end=end), len(table.members))
        return int(status is Ending.FAILED)
    lock.release(WRITER)
    return _Leader(folder, attempt, placement, table, channel).train(forked=forked)


def _offer(folder: RunFolder, attempt: Attempt) -> Offer:
    return Offer(
        run=folder.id, host=host_name(), attempts=tuple(attempts_of(read_journal(folder.journal))),
        experiment=folder.experiment.read_text(), code=code_version(folder, attempt),
    )  # fmt: skip


def _end(folder: RunFolder, attempt: Attempt, status: Ending, reason: StopReason) -> Exit:
    """Record an end without ranks; returns the record."""
    end = Exit(
        status=status, attempt=attempt.attempt, cause=reason.cause, reason=reason.text, time=time.time()
    )
    write_end(folder, attempt, end)
    return end


def _wait_for_nodes(context: Context, placement: Placement, table: NodeTable) -> StopReason | None:
    """Return `None` once all nodes are there, else why the run ends."""
    deadline = time.monotonic() + placement.timeout
    with waiting(context) as wait:
        while not (chosen := table.ready()):
            table.poll()
            table.forget_silent()
            table.write_if_due()
            wait.show(describe_missing(table.state(), time.time()) or "starting")
            if (reason := wait.pause()) is not None:
                return reason
            if time.monotonic() >= deadline:
                return _missing(context.folder, placement, table)
    table.start(chosen)
    return None


def _missing(folder: RunFolder, placement: Placement, table: NodeTable) -> StopReason:
    lost, limit, step = (
        ", ".join(table.lost),
        format_duration(placement.timeout),
        newest_checkpoint_step(folder),
    )
    nodes = table.state()
    late = f"{nodes.missing} of {nodes.count} nodes did not come"
    what = f"node {lost} did not come back" if lost else late
    after = f"workbench resume {folder.id} continues from step {step}" if step else "no step was made"
    return StopReason(Cause.MISSING_NODE, f"{what} within {limit}; {after}")


class _Leader:
    """Runs the ranks of this node with those of the nodes that have come."""

    def __init__(
        self, folder: RunFolder, attempt: Attempt, placement: Placement, table: NodeTable, channel: Channel
    ) -> None:
        self._folder, self._attempt, self._placement = folder, attempt, placement
        self._table, self._channel = table, channel
        self._members = list(table.members.values())
        self._stops = 0
        self._ended = threading.Event()
        self._mutex = threading.Lock()

    def train(self, *, forked: bool) -> int:
        """Run the ranks to their end; returns the exit code for the supervisor."""
        self._channel.put(START, Start(members=tuple(member.place for member in self._members)))
        # A rank is forked at a moment at which the thread below holds no lock that the rank would need.
        hold_during_forks(self._mutex)
        use_interface_towards(self._members[0].address)
        forward_signals(self._folder)
        watch = threading.Thread(target=self._watch, name="nodes", daemon=True)
        watch.start()
        codes: Mapping[int, int] = {}
        is_broken = False
        meeting = Meeting(endpoint_of(self._placement), f"{self._folder.id}-{self._attempt.attempt}", 0)
        try:
            codes = exit_codes(run_ranks(self._folder, self._attempt, forked=forked, meeting=meeting))
        except MeetingBroken as error:
            log(f"the nodes have lost each other: {error}")
            is_broken = True
        verdict, code = self._decide(codes, is_broken=is_broken)
        self._ended.set()
        watch.join()
        self._table.write()
        _give_verdict(self._channel, verdict, len(self._table.members))
        return code

    def _watch(self) -> None:
        """Follow the other nodes while the ranks work."""
        while not self._ended.wait(POLL_SECONDS):
            with self._mutex:
                self._table.poll()
                self._pass_stops_on()
                self._table.write_if_due()
                if any(member.silent_seconds > SILENT_SECONDS for member in self._members):
                    kill_ranks()  # their connections to that node may stay open for hours

    def _pass_stops_on(self) -> None:
        count = self._channel.count(STOPS)
        if count > self._stops:
            self._stops = count
            with contextlib.suppress(OSError):  # a full disk
                send_request(self._folder, RequestKind.STOP, self._attempt.attempt)

    def _decide(self, codes: Mapping[int, int], *, is_broken: bool) -> tuple[Verdict, int]:
        """What the end of the local ranks means for the run, and the exit code for the supervisor."""
        if codes.get(0) == SUSPENDED_EXIT_CODE:
            return Verdict(suspended=True), SUSPENDED_EXIT_CODE
        end = recorded_end(self._folder, self._attempt)
        if end is not None:
            return Verdict(end=end), int(end.status is Ending.FAILED)
        if last_attempt_number(self._folder) != self._attempt.attempt:  # taken over by another host
            return Verdict(), 1
        lost, reports = self._reports()
        if lost:
            with self._mutex:
                self._table.lose(lost)
            return Verdict(), LOST_NODE_EXIT_CODE
        end = self._failure(codes, reports) or self._unexplained(is_broken)
        write_end(self._folder, self._attempt, end)
        return Verdict(end=end), 1

    def _reports(self) -> tuple[list[Member], list[RanksEnd]]:
        """The nodes that are lost, and what the others say about the end of their ranks."""
        deadline, reports = time.monotonic() + REPORT_SECONDS, dict[int, RanksEnd]()
        while time.monotonic() < deadline:
            for member in self._members:
                report = self._channel.get(item(END, member.place), RanksEnd)
                if report is not None:
                    reports[member.place] = report
            silent = [
                member for member in self._members
                if member.place not in reports and member.silent_seconds > LOST_SECONDS
            ]  # fmt: skip
            if len(silent) + len(reports) == len(self._members):
                return silent, list(reports.values())
            time.sleep(POLL_SECONDS)
        return [member for member in self._members if member.place not in reports], list(reports.values())

    def _failure(self, codes: Mapping[int, int], reports: list[RanksEnd]) -> Exit | None:
        """The first failure of a rank, on whichever node; one that was killed has recorded none."""
        all_codes = dict(codes)
        for report in reports:
            all_codes |= report.codes
        if any(code < 0 and code not in CONSEQUENCES for code in all_codes.values()):
            return killed_rank(self._attempt, all_codes)
        failures = [recorded_failure(self._folder, self._attempt), *(report.failure for report in reports)]
        known = [failure for failure in failures if failure is not None]
        first = min(known, key=lambda failure: failure.time, default=None)
        return first or (killed_rank(self._attempt, all_codes) if all_codes else None)

    def _unexplained(self, is_broken: bool) -> Exit:
        text = "the nodes have lost each other" if is_broken else "the ranks ended without recording why"
        return Exit(
            status=Ending.FAILED,
            attempt=self._attempt.attempt,
            cause=Cause.CRASH,
            reason=text,
            time=time.time(),
        )


def _give_verdict(channel: Channel, verdict: Verdict, nodes: int) -> None:
    """Tell the other nodes how the attempt has ended, and wait until they know."""
    with contextlib.suppress(ChannelClosed):
        channel.put(VERDICT, verdict)
        deadline = time.monotonic() + SEEN_SECONDS
        while channel.count(SEEN) < nodes and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
