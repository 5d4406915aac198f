"""What keeps the screen up to date: the monitor of runs, notifications, plans, progress texts."""
