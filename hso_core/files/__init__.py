"""Reading and writing files that may be hostile. From outside: all of it.

Imports nothing of the project."""
