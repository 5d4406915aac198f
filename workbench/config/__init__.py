"""What a run is asked to do: training settings, experiments and recipes."""
