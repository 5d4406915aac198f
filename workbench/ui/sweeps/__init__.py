"""The sweeps pane."""
