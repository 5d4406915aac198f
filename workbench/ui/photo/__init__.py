"""Pane 6: the prediction for one image."""
