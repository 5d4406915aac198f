from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.io.atomic_files import write_json
from workbench.launcher import launch
from workbench.runs.enums import Cause, Ending, Outcome, RequestKind
from workbench.runs.groups import group_runs
from workbench.runs.lookup import shortest_unique_ids
from workbench.runs.records import Exit, RequestValues
from workbench.runs.requests import Answer, pending_requests, read_answer, send_request, write_answer
from workbench.runs.run_folder import RunFolder, create_run_folder, write_exit
from workbench.runs.status import Status
from workbench.runs.store import INDEX_FILE, Store


def ended_run(home: Path, name: str) -> RunFolder:
    folder = create_run_folder(home / "runs", name)
    experiment = build_experiment("digits-mlp", name=name, sets=["train.epochs=2"])
    write_json(folder.experiment, experiment.to_dict())
    reason = "loss is NaN at step 3"
    write_exit(folder, Exit(status=Ending.FAILED, cause=Cause.NON_FINITE_LOSS, attempt=1, reason=reason))
    return folder


def test_a_home_without_runs(home: Path) -> None:
    assert Store.default().list_runs() == []
    with pytest.raises(UserError, match="digits-mlp"):
        Store.default().find("last")


def test_runs_are_found_by_id_name_and_prefix(home: Path) -> None:
    first, second = ended_run(home, "one"), ended_run(home, "two")
    store = Store.default()
    assert store.find("last").id == max(first.id, second.id)
    assert store.find(first.id).id == first.id
    assert store.find("two").id == second.id
    assert store.find("tw").id == second.id
    with pytest.raises(UserError, match="matches 2 runs"):
        store.find(first.id[:4])
    with pytest.raises(UserError, match="did you mean 'two'"):
        store.find("twoo")
    with pytest.raises(UserError):
        store.find("../two")


def test_a_prefix_of_one_name_finds_its_newest_run(home: Path) -> None:
    older, newest = ended_run(home, "digits-conv"), ended_run(home, "digits-conv")
    store = Store.default()
    assert store.find("digits-c").id == newest.id != older.id
    with pytest.raises(UserError, match="matches 2 runs"):
        store.find(older.id[:8])  # a time is not a name
    ended_run(home, "digits-cat")
    with pytest.raises(UserError, match="matches 3 runs"):
        store.find("digits-c")


def test_shortest_unique_ids_identify_their_runs(home: Path) -> None:
    ids = [ended_run(home, "one").id for _ in range(3)]
    prefixes = shortest_unique_ids(ids)
    assert [Store.default().find(prefix).id for prefix in prefixes] == ids
    assert shortest_unique_ids(["20261121-164058123456-one-49ff", "other"]) == ["20261121-164058", "other"]


@pytest.mark.parametrize(("command", "warned"), [("rm", True), ("resume", True), ("stop", False)])
def test_the_newest_of_one_name_is_changed_and_named(
    home: Path, capsys: pytest.CaptureFixture[str], command: str, warned: bool
) -> None:
    """Of ended runs, which could be removed or resumed; none of them could be stopped."""
    older, newest = ended_run(home, "one"), ended_run(home, "one")
    newest.path.chmod(0o777)  # a resume that ends before anything is started
    run([command, "on"])
    warning = f"2 runs are named one; using the newest, {newest.id} (started " in capsys.readouterr().err
    assert warning == warned
    run([command, older.id])
    assert "are named" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["\udcff", "\ud800"])
def test_a_run_with_names_that_are_not_utf8_is_listed_and_grouped(home: Path, name: str) -> None:
    ended_run(home, "plain")
    folder = ended_run(home, "strange")
    write_json(folder.notes, {"v": 1, "tags": [name], "group": name, "notes": name})
    experiment = build_experiment("digits-mlp", name="strange", sets=["train.epochs=2"]).to_dict()
    write_json(folder.experiment, {**experiment, "data": {"name": f"folder:/{name}"}})
    for _ in range(2):
        strange, plain = Store.default().list_runs()
        assert (strange.name, strange.tags, strange.group) == ("strange", (name,), name)
        assert group_runs([strange, plain]) == [[strange], [plain]]
    index = (home / "runs" / INDEX_FILE).read_text()
    assert plain.id in index and strange.id not in index


def test_the_index_is_only_a_cache(home: Path) -> None:
    folder = ended_run(home, "one")
    store = Store.default()
    assert store.list_runs()[0].reason == "loss is NaN at step 3"
    assert (home / "runs" / INDEX_FILE).exists()
    write_exit(folder, Exit(status=Ending.FINISHED, attempt=1))
    assert store.list_runs()[0].status is Status.FINISHED
    (home / "runs" / INDEX_FILE).write_bytes(b"rubbish")
    assert store.list_runs()[0].status is Status.FINISHED


def test_a_removed_run_is_in_the_trash(home: Path) -> None:
    folder, other = ended_run(home, "one"), ended_run(home, "two")
    store = Store.default()
    kept = store.remove(folder)
    assert kept is not None
    assert (kept / "experiment.json").exists()
    assert store.remove(other, now=True) is None
    assert store.list_runs() == []


def test_run_folders_are_private(home: Path) -> None:
    assert ended_run(home, "one").path.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="WORKBENCH_HOME"):
        create_run_folder(blocked / "runs", "one")


def test_requests_keep_their_order_and_get_answers(home: Path) -> None:
    folder = ended_run(home, "one")
    first = send_request(folder, RequestKind.CHECKPOINT, 1)
    second = send_request(folder, RequestKind.LR, 1, RequestValues(value=0.5))
    (folder.control / "rubbish.json").write_text("{")
    (folder.control / "unknown.json").write_text('{"request": "explode"}')
    waiting = pending_requests(folder)
    assert [r.id for r in waiting] == [first, second]
    assert waiting[1].values == RequestValues(value=0.5)
    assert read_answer(folder, first) is None
    answer = Answer(Outcome.DONE, "checkpoint of step 7")
    write_answer(folder, waiting[0], answer)
    assert read_answer(folder, first) == answer
    assert [r.id for r in pending_requests(folder)] == [second]


def test_an_ended_run_accepts_no_requests(home: Path) -> None:
    with pytest.raises(UserError, match="resume"):
        launch.send_request(ended_run(home, "one"), RequestKind.STOP)


def test_a_damaged_run_hides_no_other(home: Path) -> None:
    good, bad = ended_run(home, "good"), ended_run(home, "bad")
    write_json(bad.experiment, {"v": 1, "data": "x", "train": 5})
    write_json(bad.heartbeat, {"v": 1, "epoch": "abc"})
    rows = {row.id: row for row in Store.default().list_runs()}
    assert rows[good.id].status is Status.FAILED
    assert rows[bad.id].status is Status.FAILED
    assert (rows[bad.id].dataset, rows[bad.id].epoch) == ("", 0)


def test_a_world_writable_run_is_read_only(home: Path) -> None:
    folder = ended_run(home, "one")
    folder.path.chmod(0o777)
    with pytest.raises(UserError, match="chmod 700"):
        launch.resume_run(folder, {}, "test")


def test_ids_sort_by_their_start(home: Path) -> None:
    ids = [create_run_folder(home / "runs", "x").id for _ in range(5)]
    assert ids == sorted(ids)


def test_a_damaged_request_is_addressed_to_no_attempt(home: Path) -> None:
    folder = ended_run(home, "one")
    write_json(folder.control / "a.json", {"request": "stop", "values": 5, "attempt": "x", "time": []})
    (request,) = pending_requests(folder)
    assert (request.attempt, request.values) == (0, RequestValues())
