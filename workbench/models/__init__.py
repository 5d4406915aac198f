"""What can be trained: the catalogue, architectures, weights and summaries."""
