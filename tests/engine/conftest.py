from tests.torch_state import torch_as_it_was

__all__ = ["torch_as_it_was"]
