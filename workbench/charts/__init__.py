"""Metrics as charts: series reduced to what a chart of some width shows, their axes, and charts as files."""
