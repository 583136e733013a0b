"""Sources of maps and images: Geofabrik, NAIP, and local files."""
