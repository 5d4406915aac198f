"""Models: the catalog, architectures, pretrained weights, preprocessing and summaries."""
