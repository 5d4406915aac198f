"""What keys do to runs, panes and notes."""
