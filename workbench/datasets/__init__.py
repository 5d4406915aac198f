"""What can be learned from: the catalogue, and how each dataset is read."""
