"""Measurements behind the documentation. Each script says in its first lines how it is run."""
