"""Starting runs, and the supervisor process above each worker. No torch."""
