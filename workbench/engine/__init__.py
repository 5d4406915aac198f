"""The training library: loop, optimizer, schedule, batches, evaluation, CUDA graphs. It knows no run folder, no UI."""
