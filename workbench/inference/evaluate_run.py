"""A run's best checkpoint, measured again on one of its splits."""

from __future__ import annotations

from workbench.config.experiment import Experiment, from_dict
from workbench.core.errors import BadInput
from workbench.core.progress import Report
from workbench.datasets.dataset import Data, Split
from workbench.datasets.loader import load
from workbench.engine.data_placement import source_of
from workbench.engine.device import pick_device, pick_precision
from workbench.engine.evaluate import evaluate
from workbench.engine.task import task_of
from workbench.inference.run_checkpoint import build_from_spec, load_run_checkpoint
from workbench.io.torch_files import load_into
from workbench.models import catalog as models
from workbench.models.outputs import figures
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import RunEvaluation, effective_experiment
from workbench.worker.checkpoint_content import ModelSpec


def evaluate_run(folder: RunFolder, split: str, device: str, progress: Report) -> RunEvaluation:
    """A run's best weights, measured on `split`.

    Raises `BadInput`: no checkpoint, no such split, or data that is not what the run was trained on.
    """
    content, _ = load_run_checkpoint(folder.path)
    experiment = _experiment(folder)
    data = load_as_trained(experiment, progress)
    if content.get("fingerprint") != data.fingerprint:
        raise BadInput(
            f"{experiment.data.name} is not what {folder.id} was trained on (its fingerprint changed)"
        )
    spec = ModelSpec.from_json(content["spec"])
    module = build_from_spec(spec)
    load_into(module, content["model"], f"{folder.id}'s checkpoint")
    where = pick_device(device)
    found = evaluate(
        module.to(where),
        source_of(_split(data, split), spec.preprocessing, where),
        task_of(data, experiment.train, where),
        split=split,
        classes=data.classes,
        precision=pick_precision(experiment.train.precision, where),
    )
    return RunEvaluation(
        run=folder.id,
        step=content["step"],
        epoch=content["epoch"],
        split=split,
        count=found.count,
        metrics={**found.scores, **figures(module)},
        per_class=found.per_class,
        confusion=found.confusion,
    )


def load_as_trained(experiment: Experiment, progress: Report) -> Data:
    """The dataset of an experiment as its training loads it: same sizes, same splits. Raises `BadInput`."""
    info = models.find(experiment.model.name)
    return load(
        experiment.data,
        size=info.load_size(experiment.model.options),
        channels=info.channels,
        validation=experiment.train.validation,
        seed=experiment.seed,
        progress=progress,
    )


def _experiment(folder: RunFolder) -> Experiment:
    """The experiment of a run, checked. Raises `BadInput`."""
    reader = RunReader(folder)
    try:
        experiment = effective_experiment(reader.read_all())
    finally:
        reader.close()
    if experiment is None:
        raise BadInput(f"{folder.experiment} is missing or damaged: nothing else says what the run trains")
    return from_dict(experiment.to_dict())


def _split(data: Data, name: str) -> Split:
    found = {"train": data.train, "validation": data.validation, "test": data.test}[name]
    if found is None:
        raise BadInput("this run has no validation data; --split takes train or test")
    return found
