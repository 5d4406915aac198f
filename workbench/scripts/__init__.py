"""Running a script, or any other command, as a run: its process, its output, its progress."""
