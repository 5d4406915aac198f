"""A `TrainerCallback` for Hugging Face's transformers: `Trainer(…, callbacks=[WorkbenchCallback(name="base")])`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from workbench.integrations.active_run import ActiveRun
from workbench.tracking.run import Run


class WorkbenchCallback(TrainerCallback):
    """Logs what a `Trainer` logs, its arguments, the model's configuration and its checkpoints to a run.

    The run is `run`, else the one that the script has started, else (or with a name, a group or tags of its own) a new
    one. It ends with the script, so that `trainer.evaluate` after `trainer.train` logs to it too.
    """

    def __init__(
        self,
        name: str = "",
        *,
        group: str = "",
        tags: Sequence[str] = (),
        notes: str = "",
        run: Run | None = None,
    ) -> None:
        self._active = ActiveRun(run, name=name, group=group, tags=tags, notes=notes)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Record the arguments, without tokens, and the configuration of the model."""
        if not state.is_world_process_zero:
            return
        config = self._active.get().config
        config.update(args.to_sanitized_dict())
        model_config: Any = getattr(more.get("model"), "config", None)
        if hasattr(model_config, "to_dict"):
            config.update({"model": model_config.to_dict()})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, object] | None = None,
        **_: Any,
    ) -> None:
        """Log metrics under their names, those of `trainer_state.json`."""
        if state.is_world_process_zero and logs:
            self._active.get().log(logs, state.global_step)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record the weights of a checkpoint, with their hashes."""
        if not state.is_world_process_zero or args.output_dir is None:
            return
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        for pattern in ("*.safetensors", "pytorch_model*.bin"):
            for path in sorted(folder.glob(pattern)):
                self._active.get().save_checkpoint(path, state.global_step)
