"""The worker under the name that processes of 0.1.0 start it by: some live through an upgrade."""

from runpy import run_module

run_module("workbench.worker.main", run_name="__main__", alter_sys=True)
