"""More processes and more partitions: what a step costs then."""
