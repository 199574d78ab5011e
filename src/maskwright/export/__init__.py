"""A trained run as a bundle that predicts without torch: ONNX, OpenVINO, or torch's own format."""

from maskwright.export.bundle import Exported, export_run

__all__ = ["Exported", "export_run"]
