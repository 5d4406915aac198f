"""The commands that measure an experiment by a few real steps: name, module and function, help."""

MEASURING_COMMANDS = (
    (
        "plan",
        "plan:plan",
        "estimate time, memory and disk space from a few real steps, and suggest faster settings",
    ),
    (
        "lr-find",
        "find:lr_find",
        "find a learning rate: the loss of real steps at rising rates, and what it suggests",
    ),
    (
        "batch-find",
        "find:batch_find",
        "find the largest batch size that fits into memory, with the throughput of each that is tried",
    ),
)
