"""Foundations of all other packages: errors, text, paths, settings. Imports no other package of workbench."""
