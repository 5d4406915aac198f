"""The torch process behind the screen, and its client without torch."""
