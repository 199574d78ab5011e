"""A run as one self-contained page."""

from maskwright import runtime

runtime.ensure_matplotlib()

from maskwright.reports.run_page import write_report  # noqa: E402

__all__ = ["write_report"]
