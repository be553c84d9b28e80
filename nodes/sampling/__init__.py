"""Using a schedule: KSampler (HSO), and the entry in every KSampler's list of schedulers.

Imports host."""
