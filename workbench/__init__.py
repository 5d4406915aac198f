"""workbench: a keyboard-driven terminal workbench for training image classifiers with PyTorch over SSH."""
