"""The city that geojepa makes itself: map, images and known answers."""
