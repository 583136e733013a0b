"""The generated demo city: map, images and known answers."""
