"""Training on Lightning's Trainer. Nothing outside this package imports Lightning."""
