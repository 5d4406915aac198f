"""The doors: everything that comes from or goes to the outside passes through here."""
