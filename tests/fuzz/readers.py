"""The readers that are fuzzed: the real files that are damaged, and how each is read."""

from tests.fuzz import data_readers, dataset_readers, run_readers
from tests.fuzz.registry import READERS, Reader

__all__ = ["READERS", "Reader", "data_readers", "dataset_readers", "run_readers"]
