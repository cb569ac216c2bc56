"""The same plans on the engines that people would use otherwise."""
