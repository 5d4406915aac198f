"""One torch process that serves the screen over pipes, and its client without torch."""
