"""Many processes read and write through a cache while things break; a checker reads what they saw.

`python -m tests.history --help` says how it is run, `docs/explanation/histories.md` what it shows.
"""
