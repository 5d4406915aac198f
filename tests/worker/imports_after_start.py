"""Run a worker like its supervisor does, and print every module that it imports after its first step has started.

`python tests/worker/imports_after_start.py RUN_DIR`: upgrading a package under a running worker must not break it.
"""

from __future__ import annotations

import sys

from workbench.engine.loop import StepHook
from workbench.worker import main, trainer

found: list[str] = []
started = False


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "import" and started:
        found.append(str(arguments[0]))


def begin(self: trainer.Trainer, hook: StepHook) -> None:
    global started  # noqa: PLW0603
    started = True
    train(self, hook)


if __name__ == "__main__":
    train, trainer.Trainer.train = trainer.Trainer.train, begin  # type: ignore[method-assign]
    sys.addaudithook(watch)
    code = main.main()
    started = False
    print("\n".join(found))
    sys.exit(code)
