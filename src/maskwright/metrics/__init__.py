"""Counts and the scores read from them."""

from maskwright.metrics.counts import Counts, confusion
from maskwright.metrics.scores import METRICS, POLICY, averages, per_class, summary

__all__ = ["METRICS", "POLICY", "Counts", "averages", "confusion", "per_class", "summary"]
