"""The contract between processes: a run is a folder, and these read and write it. No torch."""
