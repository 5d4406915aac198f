"""The session process as the screen meets it: a real one, over real pipes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import torch
from PIL import Image

from workbench.io.atomic import write_json
from workbench.models import zoo
from workbench.models.mlp import Mlp
from workbench.runs.layout import RunFolder, create_run_folder
from workbench.runs.reader import RunReader
from workbench.runs.report import final_evaluation
from workbench.session.client import SessionClient, SessionError

NET = """
import os, sys
from torch import nn

def Net(n):
    print("printed by somebody's own code")
    os.system("echo printed by its child")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n))

def Dies(n):
    os._exit(7)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SessionClient]:
    """One process for the tests that leave it as it was."""
    client = SessionClient(tmp_path_factory.mktemp("session") / "session.log")
    yield client
    client.close()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run on `digits` with one checkpoint of a small network."""
    folder = create_run_folder(tmp_path / "runs", "digits")
    model = {"name": "mlp", "widths": [8], "dropout": 0.0}
    write_json(folder.experiment, {"v": 1, "data": {"name": "digits"}, "model": model, "seed": 3,
                                   "train": {"validation": 0.1}})  # fmt: skip
    spec = {"model": model, "shape": [1, 8, 8], "classes": [str(i) for i in range(10)], "task": "classification",
            "preprocessing": {"size": None, "channels": None, "mean": [0.3], "std": [0.4]}}  # fmt: skip
    path = folder.checkpoints / "step-1.pt"
    torch.save({"model": Mlp((1, 8, 8), 10, widths=[8]).state_dict(), "spec": spec}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"file": path.name, "sha256": digest, "step": 1, "epoch": 1, "position": 0, "metrics_offset": 0}
    write_json(folder.manifest, {"v": 1, "checkpoints": [entry]})
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_a_picture_is_classified_by_a_run(
    shared: SessionClient, run: RunFolder, tmp_path: Path
) -> None:
    Image.new("RGB", (31, 17), "red").save(tmp_path / "red.png")
    answer = await shared.request(
        "classify", path=str(tmp_path / "red.png"), by={"run": str(run.path)}, top=3
    )
    assert answer["source"] == {"width": 31, "height": 17, "mode": "RGB"}
    assert len(answer["top"]) == 3 and answer["top"][0]["label"] in "0123456789" and answer["ms"] > 0
    png = base64.b64encode((tmp_path / "red.png").read_bytes()).decode()
    again = await shared.request("classify", png=png, by={"run": str(run.path)}, top=3)
    assert again["top"] == answer["top"]


@module_loop
async def test_the_steps_of_a_picture_by_a_run(shared: SessionClient, run: RunFolder, tmp_path: Path) -> None:
    [sample] = (await shared.request("samples", run=str(run.path), per_page=1))["samples"]
    answer = await shared.request("steps", png=sample["png"], by={"run": str(run.path)})
    steps = {step["name"]: step for step in answer["steps"]}
    assert (steps["original"]["shape"], steps["original"]["dtype"]) == ([8, 8], "L")
    assert (steps["flattened"]["shape"], steps["flattened"]["memory"]) == ([1, 64], "a view")
    classified = await shared.request("classify", png=sample["png"], by={"run": str(run.path)}, top=1)
    assert steps["probabilities"]["high"] == pytest.approx(classified["top"][0]["probability"])
    assert classified["reference"] is None
    alone = await shared.request("steps", png=sample["png"])
    assert alone["model"] is None and [step["name"] for step in alone["steps"]][-2:] == [
        "scaled",
        "flattened",
    ]


@module_loop
async def test_a_reason_holds_the_evaluation_of_the_run_against_its_answer(
    shared: SessionClient, run: RunFolder
) -> None:
    [sample] = (await shared.request("samples", run=str(run.path), per_page=1))["samples"]
    asked = {"png": sample["png"], "by": {"run": str(run.path)}}
    bare = await shared.request("reason", **asked)
    top = (await shared.request("classify", **asked, top=2))["top"]
    assert [bare[place]["index"] for place in ("first", "second")] == [one["index"] for one in top]
    assert bare["steps"][0] == "original 8×8 L" and "normalised [1, 1, 8, 8]" in bare["steps"][-1]
    assert bare["evaluation"] is None
    said, other = top[0]["index"], (top[0]["index"] + 1) % 10
    rows = [{"class": str(i), "accuracy": 0.5, "precision": 0.25, "support": 4} for i in range(10)]
    row = {"v": 1, "kind": "evaluation", "step": 1, "epoch": 1, "split": "test", "accuracy": 0.5}
    run.metrics.write_text(json.dumps(row) + "\n")
    confusion = [[said, said, 9], [other, said, 3], [said, other, 2]]
    write_json(run.evaluations / "step-1-test.json", {**row, "per_class": rows, "confusion": confusion})
    found = (await shared.request("reason", **asked))["evaluation"]
    assert found["class"] == {"accuracy": 0.5, "precision": 0.25, "support": 4}
    assert found["mistaken"] == [{"class": str(other), "count": 3}]
    assert found["taken_for"] == [{"class": str(other), "count": 2}]


@module_loop
async def test_a_recipe_answers_with_its_published_figures(shared: SessionClient, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(zoo.build("squeezenet1_1", 1000).state_dict(), tmp_path / "w.pth")
    (tmp_path / "labels.txt").write_text("\n".join(f"class {i}" for i in range(1000)))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'do = "classify"\n[model]\nname = "squeezenet1_1"\nlabels = "%s"\n[reference]\npublished = 0.5\n'
        'tolerance = 0.1\nsource = "A book"\n[[top]]\nindex = 1000\nprobability = 0.5\n'
        % (tmp_path / "labels.txt")
    )
    Image.new("RGB", (31, 17), "red").save(tmp_path / "red.png")
    by = {"recipe": str(recipe), "weights": str(tmp_path / "w.pth")}
    answer = await shared.request("classify", path=str(tmp_path / "red.png"), by=by, top=3)
    assert answer["model"] == "squeezenet1_1" and len(answer["top"]) == 3
    assert answer["top"][0]["label"] == f"class {answer['top'][0]['index']}"
    assert (answer["reference"]["published"], answer["reference"]["ours"]) == (0.5, None)
    with pytest.raises(SessionError, match="there is no recipe"):
        await shared.request("classify", path=str(tmp_path / "red.png"), by={"recipe": "nonsense"})


@module_loop
async def test_samples_of_a_run_are_pictures_with_their_classes(
    shared: SessionClient, run: RunFolder
) -> None:
    first = await shared.request("samples", run=str(run.path), split="test", per_page=5)
    second = await shared.request("samples", run=str(run.path), split="test", per_page=5, page=1)
    assert [s["index"] for s in first["samples"] + second["samples"]] == list(range(10))
    assert first["total"] > 300 and first["samples"][0]["class"] in first["classes"]
    image = Image.open(io.BytesIO(base64.b64decode(first["samples"][0]["png"])))
    assert (image.size, image.mode) == ((8, 8), "L")
    kept = await shared.request("samples", run=str(run.path), split="validation", page=10_000)
    assert kept["samples"] == [] and kept["total"] > 100


@module_loop
async def test_a_summary_of_a_pair(shared: SessionClient) -> None:
    answer = await shared.request("summary", data={"name": "cifar10"}, model={"name": "convnet"})
    assert (answer["parameters"], answer["input_shape"], answer["outputs"]) == (62_006, [3, 32, 32], 10)
    assert answer["layers"][0]["output_shape"] == [6, 28, 28]
    values = await shared.request("summary", data={"name": "line"}, model={"name": "linear"})
    assert (values["parameters"], values["outputs"]) == (2, 1)


@module_loop
@pytest.mark.parametrize(
    ("do", "parameters", "says"),
    [
        ("dance", {}, "there is no request 'dance'"),
        ("classify", {"path": "/nothing.png", "by": {"run": "/nowhere"}}, "is no run's folder"),
        ("classify", {"path": "/nothing.png", "by": {"model": "resnet18"}}, "/nothing.png can't be read"),
        ("classify", {"png": "%%%", "by": {"model": "resnet18"}}, "base64"),
        ("classify", {"path": __file__, "by": {"model": "resnet18"}}, "no picture"),
        ("summary", {"data": {"name": "clusters"}, "model": {"name": "convnet"}}, "takes pictures"),
        ("summary", {"data": {"name": "digits"}}, "no model is chosen"),
        ("samples", {"data": {"name": "clusters"}}, "has no pictures"),
        ("samples", {"data": {"name": "digits"}, "split": "validation"}, "there is no validation split"),
    ],
)
async def test_what_goes_wrong_is_one_line(
    shared: SessionClient, do: str, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(SessionError, match=says) as caught:
        await shared.request(do, **parameters)
    assert "\n" not in str(caught.value)


@module_loop
async def test_a_picture_is_opened_small_and_told_about(shared: SessionClient, tmp_path: Path) -> None:
    path = tmp_path / "wide.tiff"
    Image.new("CMYK", (1200, 300)).save(path)
    found = await shared.request("picture", path=str(path))
    assert (found["width"], found["height"], found["mode"], found["path"]) == (1200, 300, "CMYK", str(path))
    assert Image.open(io.BytesIO(base64.b64decode(found["png"]))).size == (512, 128)
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255\n")
    for name, says in (
        ("bomb.ppm", "is too large"),
        ("gone.png", "can't be read"),
        ("", "no picture is named"),
    ):
        with pytest.raises(SessionError, match=says):
            await shared.request("picture", path=str(tmp_path / name) if name else "")


@module_loop
async def test_a_picture_need_not_wait_for_what_is_computed(shared: SessionClient, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    drawing = asyncio.Event()
    shapes = {"name": "shapes", "train": 200_000}
    task = asyncio.create_task(shared.request("samples", lambda _: drawing.set(), data=shapes))
    await asyncio.wait_for(drawing.wait(), 60)
    found = await asyncio.wait_for(shared.request("picture", path=str(tmp_path / "small.png")), 30)
    assert found["mode"] == "L" and not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@module_loop
async def test_new_numbers_are_answered(shared: SessionClient, run: RunFolder) -> None:
    found = await shared.request("values", by={"run": str(run.path)}, text=",".join(["0.5"] * 64), top=2)
    assert len(found["top"]) == 2 and found["values"] == []
    with pytest.raises(SessionError, match="this run takes 64 numbers"):
        await shared.request("values", by={"run": str(run.path)}, text="0.5")


@module_loop
async def test_examples_are_what_the_evaluation_said_of_them(
    shared: SessionClient, digits_run: RunFolder
) -> None:
    row = final_evaluation(RunReader(digits_run).read_all())
    assert row is not None
    asked: dict[str, Any] = {"run": str(digits_run.path), "step": row["step"], "split": "test"}
    found = await shared.request("examples", count=3, side=16, **asked)
    assert [item["index"] for item in found["items"]] == [0, 1, 2] and found["total"] == 359
    wrong = await shared.request("examples", wrong=True, count=200, **asked)
    assert all(item["class"] != item["said"] for item in wrong["items"])
    assert wrong["total"] == 359 - round(row["accuracy"] * 359)
    of = await shared.request("examples", label=3, count=200, **asked)
    assert {item["class"] for item in of["items"]} == {"3"} and 0 < of["total"] < 359
    samples = await shared.request("samples", run=str(digits_run.path), split="test", per_page=3)
    assert [item["class"] for item in found["items"]] == [item["class"] for item in samples["samples"]]
    with pytest.raises(SessionError, match="what was said to each example at step 1"):
        await shared.request("examples", **{**asked, "step": 1})


@module_loop
async def test_own_code_runs_in_a_process_of_its_own(shared: SessionClient, net: Path) -> None:
    answer = await shared.request("summary", data={"name": "digits"}, model={"name": f"{net}:Net"})
    assert answer["parameters"] == 650
    with pytest.raises(SessionError, match=r"ended the process that ran it \(exit 7\)"):
        await shared.request("summary", data={"name": "digits"}, model={"name": f"{net}:Dies"})
    assert (await shared.request("warm"))["torch"] == torch.__version__


@module_loop
async def test_progress_arrives_and_a_request_can_be_taken_back(shared: SessionClient) -> None:
    drawing = asyncio.Event()
    shapes = {"name": "shapes", "train": 200_000}
    task = asyncio.create_task(shared.request("samples", lambda _: drawing.set(), data=shapes))
    await asyncio.wait_for(drawing.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Drawing the rest would take a minute.
    await asyncio.wait_for(shared.request("warm"), 10)


async def test_a_process_that_died_answers_and_is_started_again() -> None:
    client = SessionClient()
    try:
        drawing = asyncio.Event()
        shapes = {"name": "shapes", "train": 200_000}
        task = asyncio.create_task(client.request("samples", lambda _: drawing.set(), data=shapes))
        await asyncio.wait_for(drawing.wait(), 60)
        [server] = [p for p in psutil.Process().children() if "workbench.session.server" in p.cmdline()
                    and p.pid == client._process._popen.pid]  # fmt: skip
        server.send_signal(signal.SIGKILL)
        with pytest.raises(SessionError, match="SIGKILL"):
            await asyncio.wait_for(task, 10)
        with pytest.raises(SessionError, match="there is no request"):
            await client.request("dance")
    finally:
        client.close()


def test_the_server_ends_with_its_stdin_and_speaks_json_only(net: Path) -> None:
    command = [sys.executable, "-m", "workbench.session.server", "--own-code"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin and server.stdout
        request = {"id": 9, "do": "summary", "data": {"name": "digits"}, "model": {"name": f"{net}:Net"}}
        server.stdin.write(b"this is no request\n" + json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["ok"] is False
        # Where the machine is busy, it says first what it does.
        answer = next(line for line in map(json.loads, server.stdout) if "ok" in line)
        assert answer["id"] == 9 and answer["ok"], answer
        server.stdin.close()
        assert server.wait(10) == 0
        assert server.stdout.read() == b""


def test_the_client_brings_in_nothing_heavy() -> None:
    look = "import sys, workbench.session.client; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
