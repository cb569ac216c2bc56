"""Plans and handlers to start from."""
