"""Noise schedules of models, and schedules (sigmas) as values: text, file, tools, published tables.

Imports only hso_core.files."""
