"""Runs on the same images, side by side: the matrix that makes them, and honest words on what differs."""

from maskwright.comparison.entries import Comparison, Cost, Entry, Failure

__all__ = ["Comparison", "Cost", "Entry", "Failure"]
