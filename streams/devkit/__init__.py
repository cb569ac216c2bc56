"""What planstream needs on a developer's machine: a broker, and processes that last."""
