"""Pane 7: devices, memory and disk."""
