"""The hook command under its former module name: processes of version 0.1.0 that outlive an upgrade still start it."""

from runpy import run_module

run_module("workbench.launcher.hooks", run_name="__main__", alter_sys=True)
