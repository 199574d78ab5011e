"""Predictions over HTTP: for people (`/predict`), inference clients (Open Inference Protocol) and Label Studio."""
