"""More plans than can be run: what grows, what waits, and how soon it is over."""
