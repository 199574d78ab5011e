"""A run as one self-contained page."""

from maskwright.reports.build import write_report

__all__ = ["write_report"]
