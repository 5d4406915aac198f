"""Pane 2: the experiment that is put together."""
