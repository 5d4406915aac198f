"""The supervisor under its former module name: a screen of version 0.1.0 that outlives an upgrade starts runs by it."""

from runpy import run_module

run_module("workbench.launcher.supervisor", run_name="__main__", alter_sys=True)
