"""What planstream replaces inside Faust, one module a reason (docs/architecture.md)."""
