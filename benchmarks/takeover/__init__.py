"""How long partitions stand still when a coordinator is killed or restarted."""
