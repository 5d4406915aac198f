"""Loggers and callbacks for training libraries. Each module imports its library, and nothing else imports them."""
