"""Reading and writing files that may be hostile. Imports nothing of the project."""
