"""The worker: one process that trains one run. No textual."""
