"""Where maps and images come from: local files, Geofabrik."""
