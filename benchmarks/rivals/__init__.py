"""The schedules that are compared: built-in ones, published ones, ours, and the oracle.

Imports models."""
