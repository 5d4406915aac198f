"""The screen. Never imports torch or numpy."""
