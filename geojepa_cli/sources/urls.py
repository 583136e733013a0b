"""Default URLs of servers. This module is separate so that printing a help text does not import NumPy."""

GEOFABRIK_INDEX = "https://download.geofabrik.de/index-v1-nogeom.json"
STAC_API = "https://planetarycomputer.microsoft.com/api/stac/v1"
