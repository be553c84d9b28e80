"""Sampling for real to measure schedules: Calibrate, Compare, their run, and what is remembered.

Imports host, pictures and sampling."""
