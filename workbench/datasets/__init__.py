"""Datasets: the catalog, and how each one is found, read, cached and augmented."""
