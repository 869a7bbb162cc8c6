"""Query shapes over the models of `tests.library`, rows for them, and writes that change them."""
