// Generated from native/tag_filter.yaml by tools/generate_schema.py. Do not edit.
#pragma once

#include <string>
#include <vector>

namespace geojepa {

/// Keys that are dropped by default; a trailing `*` matches any rest.
inline const std::vector<std::string>& default_dropped_keys() {
    static const std::vector<std::string> keys = {
        "source",
        "source:*",
        "source_*",
        "*:source",
        "attribution",
        "attribution:*",
        "created_by",
        "import",
        "import:*",
        "import_uuid",
        "survey:date",
        "check_date",
        "check_date:*",
        "note",
        "note:*",
        "fixme",
        "fixme:*",
        "FIXME",
        "todo",
        "comment",
        "description:source",
        "tiger:*",
        "gnis:*",
        "NHD:*",
        "nhd:*",
        "massgis:*",
        "lacounty:*",
        "nycdoitt:*",
        "redwood_city_ca:*",
        "sfgov.org:*",
        "geobase:*",
        "canvec:*",
        "KSJ2:*",
        "yh:*",
        "osak:*",
        "kms:*",
        "naptan:*",
        "CLC:*",
        "clc:*",
        "3dshapes:*",
        "AND_*",
        "ref:bag",
        "ref:FR:*",
        "ref:ruian*",
        "it:fvg:*",
        "LINZ:*",
        "linz:*",
        "LINZ2OSM:*",
        "dcgis:*",
        "chicago:*",
        "fresno:*",
        "openGeoDB:*",
        "SK53_bulk:*",
        "statscan:*",
        "uuid",
        "OBJECTID",
        "osmarender:*",
        "converted_by",
        "upload_uuid",
        "history",
    };
    return keys;
}

}  // namespace geojepa
