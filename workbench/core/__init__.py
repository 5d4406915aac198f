"""What every other package builds on: errors, text, paths, settings; imports nothing else of ours."""
