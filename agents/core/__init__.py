"""The decisions of the contract, as pure functions: values in, values out."""
