"""Plans: the time, memory and disk space that a run will need, measured by a few real steps."""
