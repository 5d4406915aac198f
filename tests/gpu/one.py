"""One check in its own process, which writes `result.json` into the folder of the check.

`python -m tests.gpu.one FUNCTION ARGUMENT DEVICE FOLDER DATA`
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.gpu.checks import Env, Failed, NotMeasured

MAX_FIGURE = 300


def outcome(function_name: str, argument: str, env: Env) -> tuple[str, str]:
    """The result (`ok`, `failed`, `not measured`) and the figure, or the reason, in one line."""
    try:
        module, _, name = function_name.partition(":")
        function: Callable[..., str] = getattr(importlib.import_module(f"tests.gpu.{module}"), name)
        return "ok", function(env, argument) if argument else function(env)
    except NotMeasured as reason:
        return "not measured", str(reason)
    except Failed as error:
        return "failed", str(error)
    except BaseException as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"


def main() -> None:
    """Run the check that the arguments name."""
    function, argument, device, folder, data = sys.argv[1:]
    result, figure = outcome(function, argument, Env(device, Path(folder), Path(data)))
    document = json.dumps({"result": result, "figure": figure[:MAX_FIGURE]})
    Path(folder, "result.json").write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
