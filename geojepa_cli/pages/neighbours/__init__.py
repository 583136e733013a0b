"""HTML page that shows a query tile or entity, and its most similar tiles or entities."""
