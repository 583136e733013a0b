"""Task specifications, labels, masks, splits and co-occurrence."""
