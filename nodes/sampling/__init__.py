"""Sampling with a schedule: KSampler (HSO), fitted samplers, and the entry in every KSampler's list of schedulers.

Imports host and pictures.
"""
