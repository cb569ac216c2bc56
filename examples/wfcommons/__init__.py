"""Recorded scientific workflows, as plans."""
