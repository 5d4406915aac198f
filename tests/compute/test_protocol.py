"""The messages of the compute process: every type round-trips, and every real response decodes strictly."""

from __future__ import annotations

import asyncio
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from workbench.compute import protocol
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.handlers import models
from workbench.compute.protocol import (
    AnyRequest,
    AnyResponse,
    BrowseImages,
    BrowseValues,
    Call,
    Cancel,
    Classify,
    DescribeDataset,
    Explain,
    Failure,
    ListEvaluatedSamples,
    ListSamples,
    OpenImage,
    PredictValues,
    ProgressUpdate,
    Result,
    SummarizeModel,
    TraceDatasetImage,
    TracePipeline,
    TransformImage,
    Warm,
)
from workbench.compute.protocol_records import (
    ExperimentDataset,
    ImageData,
    ImageFacts,
    ImagePath,
    RecipeClassifier,
    RunClassifier,
    RunDataset,
)
from workbench.compute.protocol_responses import Classification, Ready
from workbench.compute.server import Server
from workbench.compute.task import Task
from workbench.core.progress import Progress
from workbench.core.settings_schema import Choice
from workbench.inference.results import Prediction
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import final_evaluation

DIGITS = ExperimentDataset(data=Choice("digits", {"test": 0.25}), model=Choice("mlp"), seed=3, validation=0.1)
IMAGE = ImageData(b"\x89PNG\x00")
REQUESTS: tuple[AnyRequest, ...] = (
    Warm(torchvision=True),
    OpenImage(path="/photo \udcff.png"),
    Classify(image=ImagePath("https://host/dog.jpg"), classifier=RunClassifier("/runs/1", "last"), top=3),
    PredictValues(run="/runs/1", text="0.5,1"),
    TracePipeline(image=IMAGE, classifier=None),
    Explain(image=IMAGE, classifier=RecipeClassifier("photo-alexnet", labels="/labels.txt")),
    SummarizeModel(data=Choice("line"), model=Choice("mlp", {"widths": [8]}), shape=(1, 8, 8), classes=3),
    ListSamples(dataset=RunDataset("/runs/1"), split="validation", page=2),
    ListEvaluatedSamples(run="/runs/1", step=7, errors_only=True, label=3),
    DescribeDataset(dataset=DIGITS, batch=7),
    BrowseImages(dataset=DIGITS, label=1, first=4),
    TransformImage(dataset=DIGITS, index=-1, chain=(("rotation", 45.0), ("hflip", None)), augment=("crop",)),
    BrowseValues(dataset=DIGITS, count=7),
    TraceDatasetImage(dataset=DIGITS, split="test", index=2),
)


def test_there_is_a_handler_for_each_request() -> None:
    types = set(get_args(AnyRequest))
    assert {type(request) for request in REQUESTS} == types
    assert set(models.HANDLERS) == types - {OpenImage}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_round_trips(request_: AnyRequest) -> None:
    line = protocol.encode(Call(7, request_))
    assert "\n" not in line and protocol.decode_client_message(line) == Call(7, request_)


def test_the_rest_of_the_envelope_round_trips() -> None:
    assert protocol.decode_client_message(protocol.encode(Cancel(3))) == Cancel(3)
    for message in (ProgressUpdate(3, Progress("reading", 1, None, "bytes")), Failure(None, "not a message")):
        assert protocol.decode_server_message(protocol.encode(message)) == message


def test_a_response_keeps_nan_and_infinity() -> None:
    response = Classification(
        model="m", top=(Prediction(0, "a", math.nan, math.inf),), reference=None, milliseconds=1.0, device="cpu",
        source=ImageFacts(1, 2, "L"), notices=(),
    )  # fmt: skip
    found = protocol.decode_server_message(protocol.encode(Result(1, response)))
    assert isinstance(found, Result) and isinstance(found.response, Classification)
    assert math.isnan(found.response.top[0].probability) and found.response.top[0].logit == math.inf


@pytest.mark.parametrize("decode", [protocol.decode_client_message, protocol.decode_server_message])
@pytest.mark.parametrize(
    "line", ["", "{", "[]", "{}", '{"type": "call", "id": 1}', '{"type": "dance", "id": 1}']
)
def test_an_invalid_message_is_rejected_in_one_line(decode: Callable[[str], Any], line: str) -> None:
    with pytest.raises(ValueError, match="not a message") as caught:
        decode(line)
    assert "\n" not in str(caught.value)


def test_unknown_fields_and_requests_are_rejected() -> None:
    known = json.loads(protocol.encode(Call(1, Warm())))
    for request in ({"do": "Dance"}, {**known["request"], "torchvison": True}, {"do": "OpenImage"}):
        with pytest.raises(ValueError, match="not a message"):
            protocol.decode_client_message(json.dumps({**known, "request": request}))


def test_a_response_that_cannot_be_encoded_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.HANDLERS, Warm, lambda request, task: Ready(torch=object()))  # type: ignore[arg-type]
    server = Server(output := io.StringIO(), run_user_code=True)
    server._finish(Task(4, Warm(), lambda _: None), server._compute_or_delegate)
    found = protocol.decode_server_message(output.getvalue())
    assert isinstance(found, Failure) and found.id == 4 and "TypeError" in found.error


async def test_a_process_that_sends_an_invalid_message_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time; print('nonsense', flush=True); time.sleep(600)"

    def start(
        *_: object, stdin: int, stdout: int, stderr: int, **_options: object
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)

    monkeypatch.setattr("workbench.compute.pipes.start_python", start)
    client = ComputeClient()
    try:
        with pytest.raises(ComputeError, match="SIGKILL"):
            await asyncio.wait_for(client.request(Warm()), 60)
    finally:
        client.close()


async def test_every_real_response_decodes_strictly(digits_run: RunFolder, tmp_path: Path) -> None:
    Image.new("RGB", (31, 17), "red").save(tmp_path / "red.png")
    evaluation = final_evaluation(RunReader(digits_run).read_all())
    assert evaluation is not None
    run, image = str(digits_run.path), ImagePath(str(tmp_path / "red.png"))
    dataset, by = RunDataset(run), RunClassifier(run)
    points = ExperimentDataset(data=Choice("clusters"))
    requests: tuple[AnyRequest, ...] = (
        Warm(),
        OpenImage(path=image.path),
        Classify(image=image, classifier=by),
        PredictValues(run=run, text=",".join(["0.5"] * 64)),
        TracePipeline(image=image, classifier=by),
        Explain(image=image, classifier=by),
        SummarizeModel(data=Choice("digits"), model=Choice("mlp")),
        ListSamples(dataset=dataset),
        ListEvaluatedSamples(run=run, step=evaluation.step, split=evaluation.split),
        DescribeDataset(dataset=dataset),
        BrowseImages(dataset=dataset),
        TransformImage(dataset=dataset, augment=("crop",)),
        BrowseValues(dataset=points),
        TraceDatasetImage(dataset=dataset),
    )
    assert {type(request) for request in requests} == set(get_args(AnyRequest))
    client = ComputeClient(tmp_path / "compute.log")
    try:
        responses = {type(request): await client.request(request) for request in requests}
    finally:
        client.close()
    for kind, response in responses.items():
        assert type(response) is response_type(kind), kind
    assert {type(response) for response in responses.values()} == set(get_args(AnyResponse))


def response_type(kind: type[AnyRequest]) -> type[AnyResponse]:
    """The response that a request class declares: `class Warm(Request[Ready])`."""
    [base] = kind.__orig_bases__  # type: ignore[attr-defined]
    [found] = get_args(base)
    return found  # type: ignore[no-any-return]
