"""Predictions over HTTP: for people (`/predict`), for inference clients (Open Inference Protocol) and for Label Studio."""
