"""Pane 4: metrics class by class."""
