"""The app whose queries are measured: a small shop."""
