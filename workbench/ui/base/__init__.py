"""What all parts of the screen share: panes, layout, messages, theme."""
