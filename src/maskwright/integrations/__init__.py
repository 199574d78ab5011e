"""What other programs import of ours: CVAT's auto-annotation."""
