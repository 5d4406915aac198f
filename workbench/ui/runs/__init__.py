"""Pane 1: the list of runs."""
