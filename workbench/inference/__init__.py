"""Classifying images with a trained or a published model."""
