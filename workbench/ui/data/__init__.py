"""Pane 5: the samples of a dataset."""
