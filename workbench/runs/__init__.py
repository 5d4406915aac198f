"""The run folder: the on-disk contract between processes. No torch."""
