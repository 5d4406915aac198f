"""Pane 3: curves."""
