"""Logging from a script: its metrics, evaluations, images and checkpoints become a run of workbench."""
