"""The training library: loop, optimizer, schedule, batches, evaluation, CUDA graphs; knows no run folder, no screen."""
