"""Exact search for similar tiles and entities, and the page that shows them."""
