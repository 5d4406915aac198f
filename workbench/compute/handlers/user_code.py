"""Which user code a request runs."""

from __future__ import annotations

from pathlib import Path

from workbench.compute.handlers.loading import experiment_dataset, load_run_experiment
from workbench.compute.protocol import (
    AnyRequest,
    Classify,
    Explain,
    ListEvaluatedSamples,
    OpenImage,
    PredictValues,
    SummarizeModel,
    TracePipeline,
    Warm,
)
from workbench.compute.protocol_records import ClassifierRef, RunClassifier
from workbench.core.user_code import is_user_code
from workbench.datasets.input_record import InputKind
from workbench.inference.run_checkpoint import recorded_input
from workbench.io.record_codec import read_record
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script


def names_in(request: AnyRequest) -> tuple[str, ...]:
    """The user code (`FILE.py:NAME`) that a request runs. Raises `UserError` for a run that can't be read."""
    return tuple(sorted({name for name in _names(request) if is_user_code(name)}))


def _names(request: AnyRequest) -> tuple[str, ...]:
    if isinstance(request, Classify | TracePipeline | Explain):
        return _classifier_names(request.classifier)
    if isinstance(request, PredictValues):
        return _classifier_names(RunClassifier(request.run))
    if isinstance(request, SummarizeModel):
        return (request.model.name,)
    if isinstance(request, ListEvaluatedSamples):
        if read_script(RunFolder(Path(request.run)).experiment) is not None:
            return ()  # its images are files
        return (load_run_experiment(request.run).data.name,)
    if isinstance(request, Warm | OpenImage):
        return ()
    return (experiment_dataset(request.dataset).data.name,)


def _classifier_names(classifier: ClassifierRef | None) -> tuple[str, ...]:
    """The model of a run, and the dataset whose `preprocess` makes an input of an image."""
    if not isinstance(classifier, RunClassifier):
        return ()
    model = load_run_experiment(classifier.run).model.name
    setup = read_record(RunFolder(Path(classifier.run)).setup, Setup)
    if setup is None:
        return (model,)
    record = recorded_input(Path(classifier.run), setup.shape)
    return (model, record.code) if record.kind in {InputKind.CODE, InputKind.UNKNOWN} else (model,)
