"""A trained run as a bundle: ONNX or OpenVINO, which predict without torch, or torch's own format."""

from maskwright.export.bundle import Exported, export_run

__all__ = ["Exported", "export_run"]
