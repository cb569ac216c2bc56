"""An engine in each module: how it and its worker are started, how a plan is run."""
