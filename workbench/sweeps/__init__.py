"""Sweeps: searching settings with Optuna, each trial an ordinary run."""
