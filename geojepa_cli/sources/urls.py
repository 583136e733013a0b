"""Default URLs of servers. They have a separate module so that help texts do not import NumPy."""

GEOFABRIK_INDEX = "https://download.geofabrik.de/index-v1-nogeom.json"
STAC_API = "https://planetarycomputer.microsoft.com/api/stac/v1"
