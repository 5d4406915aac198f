"""I/O boundary: files, archives, downloads, images, checkpoint files, typed records."""
