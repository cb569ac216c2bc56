"""What a coordinator's folds cost by themselves: memory and CPU, without a broker."""
