"""HTML pages with results. Each page is one file that loads nothing from the network."""
