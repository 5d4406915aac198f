"""The worker: the process that trains one run, from its checkpoint to its record."""
