"""The architectures that are not torchvision's, a file each."""
