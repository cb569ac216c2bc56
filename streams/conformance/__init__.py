"""Works through the contract on a running system, by its topics alone."""
