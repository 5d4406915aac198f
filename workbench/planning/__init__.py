"""Real steps before a run: the time, memory and disk space that it needs, a learning rate, and a batch size."""
