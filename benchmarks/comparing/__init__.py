"""Two commits on one machine in one run, by turns."""
