"""Everything that has a target, measured in one run."""
