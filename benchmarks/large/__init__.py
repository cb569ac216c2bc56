"""Plans at the limits of size: what they take, and what they leave behind."""
