"""Results for people: tables, plots, pages, and what changed between two of them."""
