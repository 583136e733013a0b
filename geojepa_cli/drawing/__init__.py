"""Draws images of map tiles from OSM elements: for the demo city, and for regions without aerial imagery."""
