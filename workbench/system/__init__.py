"""This machine: host, processors, memory, GPUs, processes. No torch."""
