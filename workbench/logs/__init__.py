"""Logs that other programs write, read while they grow and without the packages that wrote them.

`discovery.find_logs` says which logs a folder holds, `open_log.open_log` opens one, and `log.Log.poll` reads what was
added since the last time.
"""
