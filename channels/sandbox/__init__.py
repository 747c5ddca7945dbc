"""Sandbox outlets: real HTTP servers that behave as the outlets do. Nothing here imports the rest of the project."""
