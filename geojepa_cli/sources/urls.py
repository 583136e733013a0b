"""Default addresses of servers, apart from the modules that use them, so that a help text imports no numpy."""

GEOFABRIK_INDEX = "https://download.geofabrik.de/index-v1-nogeom.json"
STAC_API = "https://planetarycomputer.microsoft.com/api/stac/v1"
