"""Schedules and latents as pictures: the Plot node, what a node's plot shows, and what is drawn.

Imports host."""
