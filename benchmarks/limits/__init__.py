"""What the Kafka client alone can move: the floor under everything else."""
