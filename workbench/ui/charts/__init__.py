"""Pane 8: charts of all metrics."""
