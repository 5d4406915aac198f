"""The worker: the process that trains one run, from its newest checkpoint to its result."""
