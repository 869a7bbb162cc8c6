"""The demo: real data, real queries, several processes, and every answer checked."""
