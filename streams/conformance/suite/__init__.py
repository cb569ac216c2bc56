"""The cases: each says what is sent, and what must come of it."""
