"""GAIR: geo-aligned implicit representations of images (Liu et al. 2025), aligned with map entities and locations."""
