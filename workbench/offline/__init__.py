"""Bundles of datasets and weights for machines without a network."""
