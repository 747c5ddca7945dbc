"""What the installation answers over HTTP."""
