"""Logs that other programs write, read while they grow: `find_logs`, `open_log`, `Log.poll`."""
