"""What the compute process answers, a module for each subject."""
