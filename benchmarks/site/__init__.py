"""A site around the shop: what is measured over HTTP."""
