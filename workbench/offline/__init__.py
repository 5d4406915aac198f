"""Bundles of datasets and weights for machines without network access."""
