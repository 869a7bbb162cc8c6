"""A Django app with one model for every shape that queries and writes take."""
