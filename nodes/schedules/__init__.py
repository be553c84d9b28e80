"""Nodes that make or change SIGMAS: optimise, type, choose, blend and split, save and load.

Imports host, pictures and sampling."""
