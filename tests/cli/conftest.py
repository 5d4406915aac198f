from tests.run_folders import folder

__all__ = ["folder"]
