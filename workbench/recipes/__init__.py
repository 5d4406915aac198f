"""Ready experiments, one TOML file each."""
