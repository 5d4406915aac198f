"""Plans: what a run will take, measured by a few real steps in a process of its own."""
