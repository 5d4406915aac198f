"""Finding runs by id, name or prefix."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from workbench.core.errors import UserError, did_you_mean

TIMESTAMP_LENGTH = len("20261121-164058")
"""Length of the start time in a run id, which nearly always identifies the run."""


def resolve_run_id(query: str, runs: Sequence[tuple[str, str]], list_hint: str) -> str:
    """The id of the run that `query` names: `last`, an id, a name, or a prefix of either.

    `runs`: ids and names, newest first. Of several runs with the same name the newest is chosen. Raises `UserError`,
    with `list_hint` (how to list all runs) at its end.
    """
    if query == "last" and runs:
        return runs[0][0]
    exact = [run_id for run_id, _ in runs if run_id == query] or [i for i, name in runs if name == query]
    if exact:
        return exact[0]
    matches = [run for run in runs if query and any(key.startswith(query) for key in run)]
    one_name = len({name for _, name in matches}) == 1 and all(name.startswith(query) for _, name in matches)
    if len(matches) == 1 or one_name:
        return matches[0][0]
    if matches:
        first = ", ".join(run_id for run_id, _ in matches[:4])
        more = ", …" if len(matches) > 4 else ""
        raise UserError(f"'{query}' is ambiguous: it matches {len(matches)} runs: {first}{more}")
    known = {key for run in runs for key in run}
    raise UserError(f"no run '{query}'{did_you_mean(query, known)}; {list_hint}")


def shortest_unique_ids(ids: Sequence[str]) -> list[str]:
    """A prefix of each id that identifies its run: the start time, longer where several runs started in one second."""
    length = next(n for n in count(TIMESTAMP_LENGTH) if len({run_id[:n] for run_id in ids}) == len(ids))
    return [run_id[:length] for run_id in ids]


def id_suffix(run_id: str) -> str:
    """`…56bc`: the random end of a run id, which distinguishes runs of the same name."""
    return f"…{run_id[-4:]}"
