"""Evaluates the best checkpoint of a run on one of its splits."""

from __future__ import annotations

from workbench.config.cross_validation import chosen_fold
from workbench.config.data_location import (
    changed_code_data,
    changed_data_error,
    check_data_is_there,
    moved_dataset,
    record_location,
)
from workbench.config.experiment import Experiment, experiment_from_dict
from workbench.core.errors import UserError
from workbench.core.progress import ProgressCallback
from workbench.core.user_code import user_code_errors
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.load_request import RecordedData
from workbench.datasets.loader import load
from workbench.engine.data_placement import place_split
from workbench.engine.device import pick_device, pick_precision
from workbench.engine.evaluate import evaluate
from workbench.engine.task import make_task, precision_setting
from workbench.inference.run_checkpoint import load_run_model
from workbench.io.record_codec import read_record
from workbench.models import catalog as models
from workbench.models.outputs import extra_metrics
from workbench.runs.data_files import check_image_files
from workbench.runs.reader import read_view
from workbench.runs.records import Launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import RunEvaluation, effective_experiment
from workbench.worker.checkpoint_content import recorded_data


def evaluate_run(
    folder: RunFolder,
    split: str,
    device: str,
    progress: ProgressCallback,
    moved_to: str = "",
    *,
    raw: bool = False,
) -> RunEvaluation:
    """Evaluate the best weights of a run on `split`: their average, where the run averages them, unless `raw`.

    `moved_to`: where its dataset is now, which is recorded if it is the same data. Raises `UserError`: no checkpoint,
    no such split, or data other than the run was trained on.
    """
    model = load_run_model(folder.path, raw=raw)
    content, module = model.content, model.module
    experiment = _experiment(folder, moved_to)
    recorded, name = recorded_data(content), experiment.data.name
    whole = experiment.train.folds > 0
    check_image_files(folder, experiment.data, recorded, "evaluate", progress, whole=whole)
    data = load_as_trained(experiment, progress, recorded)
    if recorded.fingerprint != data.fingerprint:
        launch = read_record(folder.launch, Launch)
        changes = changed_code_data(name, launch.time if launch else 0.0)
        raise UserError(changed_data_error(folder.id, name, "evaluate", changes))
    if moved_to:
        record_location(folder.path, experiment.data.name)
    torch_device = pick_device(device)
    with user_code_errors(model.spec.model.name):
        evaluation = evaluate(
            module.to(torch_device),
            place_split(_split(data, split), model.spec.preprocessing, torch_device),
            make_task(data, experiment.train, torch_device),
            split=split,
            classes=data.classes,
            precision=pick_precision(precision_setting(experiment.train, data.task), torch_device),
        )
    return RunEvaluation(
        run=folder.id,
        step=content["step"],
        epoch=content["epoch"],
        split=split,
        count=evaluation.count,
        metrics={**evaluation.scores, **extra_metrics(module)},
        per_class=evaluation.per_class,
        confusion=evaluation.confusion,
    )


def load_as_trained(
    experiment: Experiment, progress: ProgressCallback, recorded: RecordedData | None = None
) -> Dataset:
    """Load the dataset of an experiment as in training: same classes, sizes and splits. Raises `UserError`."""
    info = models.find(experiment.model.name)
    return load(
        experiment.data,
        size=info.load_size(experiment.model.options),
        channels=info.channels,
        crop=info.center_crop(experiment.model.options),
        validation=experiment.train.validation,
        seed=experiment.seed,
        progress=progress,
        recorded=recorded,
        fold=chosen_fold(experiment.train),
    )


def _experiment(folder: RunFolder, moved_to: str) -> Experiment:
    """The validated experiment of a run, with its dataset at `moved_to` if that is given. Raises `UserError`."""
    experiment = effective_experiment(read_view(folder))
    if experiment is None:
        raise UserError(f"{folder.experiment} is missing or damaged, so the experiment of the run is unknown")
    if moved_to:
        experiment = experiment.with_dataset(moved_dataset(experiment.data.name, moved_to))
    check_data_is_there(folder.id, experiment.data.name, "evaluate")
    return experiment_from_dict(experiment.to_dict())


def _split(data: Dataset, name: str) -> Split:
    split = data.splits.get(name)
    if split is None:
        raise UserError("this run has no validation data; use --split train or --split test")
    return split
