"""Training on a rented GPU without a network: a bundle goes there, files come back. docs/gpu.md shows how."""
