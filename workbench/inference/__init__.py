"""A picture and a model become the most likely classes."""
