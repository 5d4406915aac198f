"""Options, defaults and batch scripts, and hosts without Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from workbench.cli.main import run as command
from workbench.cli.slurm_node import node_placement
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.launcher.slurm_script import (
    SlurmOptions,
    array_script_text,
    check_tasks,
    parse_limit,
    parse_option,
    read_defaults,
    script_text,
    warning_seconds,
)
from workbench.runs.run_columns import parse_columns
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.script import Script
from workbench.runs.slurm_job import SlurmJob, end_text, forget_answers, waits_for
from workbench.runs.status import Status, status_of
from workbench.runs.store import RunSummary, Store
from workbench.system.slurm import Job, JobState, describe_slurm, job_state, own_job
from workbench.ui.runs.pane import run_details


@pytest.fixture(autouse=True)
def no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without Slurm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    forget_answers()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("30:00", 1800), ("4:00:00", 14400), ("2-12", 216000), ("1-0:30", 88200), ("1-0:0:5", 86405),
     ("infinite", None), ("", None), ("x", None)],
)  # fmt: skip
def test_time_limits(text: str, seconds: int | None) -> None:
    assert parse_limit(text) == seconds


def test_a_short_limit_is_not_used_up_by_the_warning() -> None:
    assert [warning_seconds(limit) for limit in ("1", "4:00:00", "", "0:02")] == [15, 120, 120, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [("Partition=x", "no option of sbatch"), ("=x", "no option of sbatch"), ("time=1\n#SBATCH --x", "one line"),
     ("wrap=rm", "set by workbench"), ("array=0-3", "sweeps make the array"), ("array=%0", "sweeps make the array")],
)  # fmt: skip
def test_bad_options(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_option(text)


def test_options_and_defaults(home: Path) -> None:
    assert parse_option("--partition=a b") == ("partition", "a b")
    assert parse_option("exclusive") == ("exclusive", "")
    assert read_defaults().options == {}
    home.mkdir()
    file = home / "slurm.toml"
    file.write_text('partition = "gpu"\ncpus-per-task = 4\nexclusive = true\nhold = false\nsetup = "a\\nb"\n')
    assert read_defaults().options == {"partition": "gpu", "cpus-per-task": "4", "exclusive": ""}
    assert read_defaults().setup == ("a", "b")
    for content, message in (
        ("partition", "can't be read"),
        ("nodes = [1]", "must be a text"),
        ("setup = 3", "lines of shell"),
        ("Bad = 1", "no option"),
        ('wrap = "x"', "set by workbench"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            read_defaults()


def test_a_training_has_a_task_for_each_process() -> None:
    for options, message in (
        ({"nodes": "2"}, "the 3 processes of the training can't be divided among them; say --processes 2"),
        ({"ntasks": "2"}, "--slurm asks for 2 tasks, and the training has 3 processes: say --processes 2"),
        ({"nodes": "1", "ntasks-per-node": "4"}, "asks for 4 tasks"),
        ({"ntasks": "2-4"}, "a number of tasks"),
        ({"nodes": "0"}, "a number of nodes"),
    ):
        with pytest.raises(UserError, match=message):
            check_tasks(options, 3)
    with pytest.raises(UserError, match="at most 1 node"):
        check_tasks({"nodes": "3"}, 3, max_nodes=1)
    check_tasks({}, 3)
    check_tasks({"nodes": "1", "ntasks": "3"}, 3)
    folder = RunFolder(Path("/home/runs/r"))
    lines = script_text(folder, SlurmOptions(), 3).splitlines()
    assert {"#SBATCH --nodes=1", "#SBATCH --ntasks=3"} <= set(lines)
    nodes = script_text(folder, SlurmOptions(options={"nodes": "3"}), 3)
    assert "#SBATCH --ntasks-per-node=1" in nodes and "exec srun --ntasks-per-node=1 " in nodes
    environment = {"SLURM_JOB_ID": "10007", "SLURM_NNODES": "2", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"}
    places = [node_placement({**environment, "SLURM_PROCID": str(task)}) for task in range(2)]
    assert [place.joins for place in places] == [False, True]
    assert {(place.nodes, place.address) for place in places} == {(2, "10.0.0.1:29407")}
    assert "#SBATCH --nodes=1" not in script_text(folder, SlurmOptions(options={"ntasks": "3"}), 3)


def test_a_script_on_several_nodes_starts_its_own_tasks(tmp_path: Path) -> None:
    """`workbench run --slurm nodes=2 -- srun python train.py`: the script is run once, on the first node."""
    folder = RunFolder(tmp_path / "home" / "runs" / "r")
    folder.path.mkdir(parents=True)
    write_record(folder.experiment, Script(command=("srun", "python", "train.py")))
    text = script_text(folder, SlurmOptions(options={"nodes": "2"}))
    assert "#SBATCH --nodes=2" in text
    assert "srun" not in text and "slurm_node" not in text


def test_the_batch_script(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a 'b" / "runs" / "r%1")
    slurm = SlurmOptions(options={"time": "8", "comment": "x y", "array": "%3"}, setup=("module load cuda",))
    lines = script_text(folder, slurm).splitlines()
    assert "#SBATCH --time=8" in lines and '#SBATCH --comment="x y"' in lines and "#SBATCH --requeue" in lines
    assert "#SBATCH --signal=B:USR1@120" in lines and "module load cuda" in lines
    assert not any("--array" in line for line in lines)
    assert any(line.startswith("#SBATCH --output=") and "r%%1/slurm.log" in line for line in lines)
    assert "#SBATCH --requeue" not in script_text(folder, SlurmOptions(options={"no-requeue": ""}))
    assert "#SBATCH --array=0-1%3" in array_script_text([folder, folder], slurm)


def test_own_jobs() -> None:
    assert own_job({}) == "" and own_job({"SLURM_JOB_ID": "7"}) == "7"
    assert own_job({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}) == "7_2"


def test_reasons_and_ends_in_words() -> None:
    def waiting(reason: str) -> str:
        return waits_for(Job("7", JobState.WAITING, word="PENDING", reason=reason))

    assert waiting("Priority") == "jobs of higher priority (Priority)"
    assert waiting("QOSMaxJobsPerUserLimit") == "a limit of its QOS (QOSMaxJobsPerUserLimit)"
    assert waiting("ReqNodeNotAvail, UnavailableNodes:a[1-9]").endswith("(ReqNodeNotAvail)")
    assert waiting("None") == "Slurm to look at it" and waiting("NewReason") == "NewReason"
    assert waits_for(Job("7", JobState.STARTED, nodes="n1")) == "its start on n1"
    assert "does not answer (down)" in waits_for(Job("7", JobState.SILENT, reason="down"))
    assert end_text(Job("7", JobState.GONE)) == "Slurm no longer knows its job 7"
    assert end_text(Job("7", JobState.ENDED, word="TIMEOUT")).endswith("its time limit passed (TIMEOUT)")
    assert [job_state(word) for word in ("PENDING", "COMPLETING", "RUNNING", "TIMEOUT", "NEW")] == [
        JobState.WAITING, JobState.STARTED, JobState.STARTED, JobState.ENDED, JobState.STARTED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--launcher", "slurm"], "sbatch is not in PATH"), (["--slurm", "time=1"], "sbatch is not in PATH"),
     (["--slurm", "time=1", "--launcher", "local"], "can't be combined"),
     (["--slurm", "time=1", "--queue"], "queue of its own")],
)  # fmt: skip
def test_without_slurm_nothing_is_submitted(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["train", "digits-mlp", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert Store.default().list_runs() == []


def test_a_run_of_slurm_on_a_host_without_it(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(digits_run.slurm, SlurmJob(job="7"))
    assert status_of(digits_run) is Status.FINISHED
    write_record(digits_run.slurm, SlurmJob(job="7", attempt=1))  # submitted again
    assert status_of(digits_run) is Status.QUEUED
    report = read_report(digits_run)
    assert report.waits_for is not None and report.waits_for.startswith(
        "Slurm, which does not answer (squeue"
    )
    assert command(["stop", "last"]) == 2
    assert "Slurm does not cancel job 7" in capsys.readouterr().err
    assert status_of(digits_run) is Status.QUEUED
    assert describe_slurm() is None
    write_record(digits_run.slurm, SlurmJob(job="7", attempt=1, end="TIMEOUT"))
    assert status_of(digits_run) is Status.CRASHED
    assert "its time limit passed (TIMEOUT)" in (read_report(digits_run).reason or "")


def test_the_screen_says_what_a_run_in_slurm_waits_for() -> None:
    row = RunSummary(
        id="a", name="a", status=Status.QUEUED, slurm_job="7", slurm_reason="Resources",
        waits_for="free resources (Resources)",
    )  # fmt: skip
    assert "queued in Slurm (job 7), waits for free resources (Resources)" in str(run_details(row))
    (column,) = parse_columns(["status"], [row])
    assert column.text(row) == "queued: Resources"
    crashed = replace(
        row, status=Status.CRASHED, waits_for=None, reason="Slurm ended its job 7: its node failed"
    )
    assert "its node failed; r resumes it" in str(run_details(crashed))
