"""Scripts that log: real processes, by themselves and under `workbench run`."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from tests.tracking.conftest import RunScript, lines, only_run, read
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.enums import Cause
from workbench.runs.journal import SavedFile, read_journal
from workbench.runs.metrics import EvaluationFile
from workbench.runs.predictions import read_predictions
from workbench.runs.reader import RunReader
from workbench.runs.records import Exit
from workbench.runs.run_report import read_report
from workbench.runs.script import Script
from workbench.runs.status import Status, status_of
from workbench.tracking.evaluations import evaluate_predictions
from workbench.tracking.values import config_values, scalars


def test_a_script_by_itself_makes_a_run(run_script: RunScript) -> None:
    run_script(
        "run = workbench.init(name='my run', group='g', tags=['a'], config={'lr': 0.1, 'model': {'depth': 3}})\n"
        "for step in range(3):\n    run.log({'loss': 1 / (step + 1), 'val': {'accuracy': step}})\n"
        "run.config.seed = 4\nrun.config.update({'batch': 8})\nrun.summary['best'] = 0.5\n"
    )
    view = read(only_run())
    assert (view.name, view.status, view.notes.group, view.notes.tags) == (
        "my run",
        Status.FINISHED,
        "g",
        ("a",),
    )
    assert view.config.config == {"lr": 0.1, "model/depth": 3, "seed": 4, "batch": 8}
    assert view.config.summary == {"best": 0.5}
    assert list(view.logged["loss"].values) == [1, 1 / 2, 1 / 3]
    assert list(view.logged["val/accuracy"].steps) == [0, 1, 2]
    assert view.script is not None
    assert view.script.command[-1].endswith("job.py")


def test_the_module_logs_without_init(run_script: RunScript) -> None:
    run_script("workbench.log({'loss': 1})\nworkbench.log({'loss': 2}, step=7)\nworkbench.log({'loss': 3})\n")
    assert list(read(only_run()).logged["loss"].steps) == [0, 7, 8]


@pytest.mark.parametrize(
    ("end", "code", "recorded"),
    [
        ("raise ValueError('no such layer')", 1, ("failed", "error", "ValueError: no such layer")),
        ("import sys; sys.exit(3)", 3, ("failed", "error", "exit code 3")),
        ("import sys; sys.exit()", 0, ("finished", "completed", None)),
        ("workbench.finish(exit_code=4)", 0, ("failed", "error", "exit code 4")),
        ("raise KeyboardInterrupt", -signal.SIGINT, ("stopped", "signal", "interrupted")),
    ],
)
def test_the_end_of_the_script_is_the_end_of_the_run(
    run_script: RunScript, end: str, code: int, recorded: tuple[str, str, str | None]
) -> None:
    run_script(f"workbench.init()\nworkbench.log({{'x': 1}})\n{end}\n", code=code)
    ended = read_record(only_run().exit, Exit)
    assert ended is not None
    assert (ended.status, ended.cause, ended.reason) == recorded


def test_a_context_fails_with_its_exception(run_script: RunScript) -> None:
    run_script(
        "try:\n    with workbench.init() as run:\n        raise ValueError('bad')\nexcept ValueError:\n    pass\n"
    )
    ended = read_record(only_run().exit, Exit)
    assert ended is not None
    assert ended.reason == "ValueError: bad"


def test_a_killed_script_keeps_all_but_the_last_second(run_script: RunScript) -> None:
    """Lines are complete, up to the moment of the kill but for what was buffered."""
    run_script(
        "import os, signal, time\nrun = workbench.init()\nstart = time.time()\nwhile time.time() < start + 2:\n"
        "    run.log({'age': time.time() - start})\n    time.sleep(0.001)\nos.kill(os.getpid(), signal.SIGKILL)\n",
        code=-signal.SIGKILL,
    )  # fmt: skip
    folder = only_run()
    assert status_of(folder) is Status.CRASHED
    steps = [line["step"] for line in lines(folder)]
    assert steps == list(range(len(steps)))
    assert read(folder).logged["age"].values[-1] >= 1.0


def test_under_workbench_run_it_is_that_run(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import os, workbench\nwith workbench.init(name='inner', tags=['b']) as run:\n    run.log({'loss': 1})\n"
        "print(run.id, os.environ.get('WORKBENCH_RESUME'))\n"
    )
    folder = launch.start_script(
        Script(command=(sys.executable, str(script)), name="outer", working_directory=str(tmp_path)), "test"
    )
    reader = RunReader(folder)
    limit = time.monotonic() + 60
    while reader.poll().status.live:
        assert time.monotonic() < limit
        time.sleep(0.02)
    view = reader.read_all()
    assert [path.name for path in paths.runs().iterdir() if path.is_dir()] == [folder.id]
    assert (view.status, view.name, view.notes.tags) == (Status.FINISHED, "inner", ("b",))
    assert list(view.logged["loss"].values) == [1]
    assert view.heartbeat.step == 0
    assert f"{folder.id} None" in folder.log.read_text()


def test_stop_interrupts_a_script_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import time, workbench\nworkbench.init()\nprint('ready', flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        folder = only_run()
        assert status_of(folder) is Status.RUNNING
        launch.stop_run(folder)
        process.wait(60)
    ended = read_record(folder.exit, Exit)
    assert ended is not None
    assert (ended.status, ended.cause) == ("stopped", Cause.REQUESTED)


def test_other_ranks_record_nothing(run_script: RunScript) -> None:
    text = "run = workbench.init({0})\nrun.log({{'x': 1}})\nrun.log_image('i', None)\nprint(repr(run.id))\n"
    assert run_script(text.format(""), RANK="1").stdout == "''\n"
    assert not paths.runs().exists()
    run_script(text.format("all_ranks=True"), SLURM_PROCID="1")
    assert only_run()


def test_logging_in_threads_and_after_a_fork(run_script: RunScript) -> None:
    run_script(
        "import os, threading\nrun = workbench.init()\n"
        "def work(name):\n    for value in range(500):\n        run.log({name: value})\n"
        "threads = [threading.Thread(target=work, args=(f't{i}',)) for i in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "if (child := os.fork()) == 0:\n    work('child')\n    run._writer.flush()\n    os._exit(0)\n"
        "[thread.join() for thread in threads]\nos.waitpid(child, 0)\n"
    )
    view = read(only_run())
    assert view.skipped_lines == 0
    assert {name: list(series.values) for name, series in view.logged.items()} == {
        name: list(range(500)) for name in ("t0", "t1", "t2", "t3", "child")
    }
    assert sorted(line["step"] for line in lines(only_run()) if "child" not in line["values"]) == list(
        range(2000)
    )  # type: ignore[operator, type-var]


@pytest.mark.parametrize("fault", ["shutil.rmtree(run.directory)", "os.chmod(run.directory, 0o500)"])
def test_a_lost_folder_is_one_warning(run_script: RunScript, fault: str) -> None:
    result = run_script(
        f"import os, shutil, time\nrun = workbench.init()\n{fault}\n"
        "for step in range(5):\n    run.log({'x': step})\n    time.sleep(0.3)\nrun.finish()\nprint('trained')\n"
    )
    assert result.stdout == "trained\n"
    assert "Traceback" not in result.stderr
    assert result.stderr.count("metrics.jsonl") <= 1


def test_a_home_that_cannot_be_written_records_nothing(run_script: RunScript, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_script(
        "workbench.init().log({'x': 1})\nprint('trained')\n", WORKBENCH_HOME=str(tmp_path / "file")
    )
    assert result.stdout == "trained\n"
    assert "nothing is recorded" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_importing_brings_in_no_library() -> None:
    code = "import sys, workbench; print(*{'torch', 'numpy', 'textual', 'msgspec', 'asyncio'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_numbers_of_all_kinds_are_taken() -> None:
    numbers, others = scalars({
        "int": 1, "bool": True, "numpy": np.float32(0.5), "array": np.array([2.0]), "tensor": torch.tensor(3.0),
        "nan": math.nan, "infinity": math.inf, "outer": {"inner": {"deep": 4}}, 5: 5.0,
        "text": "1", "list": [1], "vector": torch.ones(3), "none": None, "complex": 1j,
    })  # fmt: skip
    assert math.isnan(numbers.pop("nan"))
    assert numbers == {
        "int": 1.0, "bool": 1.0, "numpy": 0.5, "array": 2.0, "tensor": 3.0, "infinity": math.inf,
        "outer/inner/deep": 4.0, "5": 5.0,
    }  # fmt: skip
    assert others == ["text", "list", "vector", "none", "complex"]


def test_configurations_of_all_kinds_are_taken() -> None:
    class Settings:
        def __init__(self) -> None:
            self.lr, self.layers = 0.1, [1, 2]

    assert config_values(Settings()) == {"lr": 0.1, "layers": "[1, 2]"}
    assert config_values({"a": {"b": np.int64(3)}, "path": Path("x")}) == {"a/b": 3, "path": "x"}
    assert config_values(None) == {}


def test_steps_that_go_back_are_kept_and_reported_once(run_script: RunScript) -> None:
    result = run_script(
        "run = workbench.init()\nfor step in (5, 3, 2, 5):\n    run.log({'x': step}, step=step)\n"
    )
    assert list(read(only_run()).logged["x"].steps) == [5, 3, 2, 5]
    assert result.stderr.count("comes after") == 1


def test_an_evaluation_has_the_figures_of_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 12, 500)
    probabilities = chance.dirichlet(np.ones(12), 500) + np.eye(12)[labels] * 0.2
    probabilities /= probabilities.sum(1, keepdims=True)
    evaluation = evaluate_predictions(labels, None, probabilities, None, "test")
    predicted = probabilities.argmax(1)
    assert evaluation.scores == pytest.approx({
        "loss": sk.log_loss(labels, probabilities),
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, average="macro"),
        "top5": sk.top_k_accuracy_score(labels, probabilities, k=5),
    })  # fmt: skip
    assert [row.recall for row in evaluation.per_class] == pytest.approx(
        list(sk.recall_score(labels, predicted, average=None))
    )


def test_an_evaluation_is_read_like_one_of_ours(run_script: RunScript) -> None:
    run_script(
        "import torch\nrun = workbench.init()\nrun.log({'x': 1}, step=3)\n"
        "run.log_evaluation(['cat', 'dog', 'cat'], ['cat', 'cat', 'cat'], paths=['a.png', 'b.png', 'c.png'])\n"
        "run.log_evaluation(torch.tensor([0, 1]), probabilities=torch.tensor([[0.9, 0.1], [0.7, 0.3]]),\n"
        "                   classes=['cat', 'dog'], split='test', step=4)\n"
    )
    folder = only_run()
    evaluation = read_record(folder.evaluation(3, "validation"), EvaluationFile)
    assert evaluation is not None
    assert evaluation.paths == ("a.png", "b.png", "c.png")
    assert [(row.name, row.recall) for row in evaluation.per_class] == [("cat", 1.0), ("dog", 0.0)]
    wrong = read_predictions(folder, 4, "test")[1]
    assert (wrong.is_error, wrong.top, round(wrong.probability, 3)) == (True, (0, 1), 0.3)
    report = read_report(folder)
    assert report.metrics["test/accuracy"].last == 0.5
    assert report.per_class is not None


@pytest.mark.parametrize(
    ("labels", "predictions", "probabilities", "classes", "words"),
    [
        ([0, 1], [0], None, None, "2 labels and 1 predictions"),
        ([0, 1], None, None, None, "either"),
        ([0, 9], None, [[0.5, 0.5]] * 2, None, "labels go from 0 to 9"),
        ([0, 1], [0, 1], None, ["a"], "there are 1 classes"),
        (["x"], ["y"], None, ["y"], "none of the classes"),
        ([0.5], [0], None, None, "indices or names"),
        ([0], None, [[math.nan, 1]], None, "finite"),
        ([], [], None, None, "0 labels"),
    ],
)
def test_an_invalid_evaluation_is_refused_with_the_reason(
    labels: object, predictions: object, probabilities: object, classes: list[str] | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        evaluate_predictions(labels, predictions, probabilities, classes, "test")


def test_images_and_checkpoints_are_recorded(run_script: RunScript, tmp_path: Path) -> None:
    run_script(
        "import numpy as np, torch\nfrom PIL import Image\nrun = workbench.init()\nrun.log({'x': 1}, step=2)\n"
        "run.log_image('val/samples', np.zeros((4, 6, 3), np.uint8))\n"
        "run.log_image('tensor', torch.ones(3, 4, 6))\nrun.log({'pillow': Image.new('L', (6, 4))}, step=5)\n"
        "run.log_image('none', np.zeros((5, 6, 7)))\n"
        "torch.save({'w': 1}, 'model.pt')\nrun.save_checkpoint('model.pt')\nrun.save_checkpoint('missing.pt')\n"
    )
    folder = only_run()
    assert sorted(str(path.relative_to(folder.images)) for path in folder.images.rglob("*.png")) == [
        "pillow/step-5.png", "tensor/step-2.png", "val%2Fsamples/step-2.png",
    ]  # fmt: skip
    (saved,) = (line for line in read_journal(folder.journal) if isinstance(line, SavedFile))
    assert (saved.path, saved.size) == (str(tmp_path / "model.pt"), (tmp_path / "model.pt").stat().st_size)
    assert len(saved.sha256) == 64


def test_a_script_written_for_another_tracker_runs(run_script: RunScript) -> None:
    """Its verbs and their arguments are those that people know."""
    run_script(
        "import workbench as wandb\n"
        "run = wandb.init(project='p', entity='e', job_type='train', name='n', config=dict(lr=1), reinit=True)\n"
        "run.watch(None, log='all')\nrun.define_metric('loss', summary='min')\n"
        "wandb.log({'loss': 1}, step=1, commit=True)\nrun.summary['best'] = 2\nwandb.finish(quiet=True)\n"
    )
    assert read(only_run()).name == "n"
