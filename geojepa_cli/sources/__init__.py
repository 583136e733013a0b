"""Sources of OSM maps and aerial images: Geofabrik, online image collections such as NAIP, and local files."""
