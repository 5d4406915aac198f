"""Old module paths that processes of 0.1.0 still start by name."""
