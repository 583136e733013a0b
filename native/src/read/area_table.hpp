// Generated from native/areas.yaml by tools/generate_schema.py. Do not edit.
#pragma once

#include <string_view>
#include <vector>

namespace geojepa {

/// A closed way with this key is an area: for any value, the listed ones, or all but the listed ones.
struct AreaRule {
    enum class Match { any, only, except };
    std::string_view key;
    Match match;
    std::vector<std::string_view> values;
};

inline const std::vector<AreaRule>& area_table() {
    static const std::vector<AreaRule> table = {
        {"building", AreaRule::Match::any, {}},
        {"building:part", AreaRule::Match::any, {}},
        {"landuse", AreaRule::Match::any, {}},
        {"leisure", AreaRule::Match::except, {"track", "slipway"}},
        {"natural", AreaRule::Match::except, {"coastline", "cliff", "ridge", "arete", "tree_row", "valley", "earth_bank", "gorge"}},
        {"amenity", AreaRule::Match::any, {}},
        {"shop", AreaRule::Match::any, {}},
        {"tourism", AreaRule::Match::any, {}},
        {"historic", AreaRule::Match::except, {"citywalls"}},
        {"office", AreaRule::Match::any, {}},
        {"craft", AreaRule::Match::any, {}},
        {"healthcare", AreaRule::Match::any, {}},
        {"emergency", AreaRule::Match::any, {}},
        {"club", AreaRule::Match::any, {}},
        {"boundary", AreaRule::Match::any, {}},
        {"place", AreaRule::Match::any, {}},
        {"area:highway", AreaRule::Match::any, {}},
        {"abandoned:building", AreaRule::Match::any, {}},
        {"disused:amenity", AreaRule::Match::any, {}},
        {"allotments", AreaRule::Match::any, {}},
        {"cemetery", AreaRule::Match::any, {}},
        {"water", AreaRule::Match::any, {}},
        {"wetland", AreaRule::Match::any, {}},
        {"ruins", AreaRule::Match::any, {}},
        {"harbour", AreaRule::Match::any, {}},
        {"military", AreaRule::Match::except, {"trench"}},
        {"aeroway", AreaRule::Match::except, {"taxiway", "runway", "jet_bridge", "parking_position", "taxilane"}},
        {"man_made", AreaRule::Match::except, {"cutline", "embankment", "pipeline", "goods_conveyor", "dyke"}},
        {"power", AreaRule::Match::only, {"plant", "substation", "generator", "transformer", "switchgear", "compensator"}},
        {"public_transport", AreaRule::Match::only, {"platform", "station"}},
        {"railway", AreaRule::Match::only, {"station", "turntable", "roundhouse", "platform", "traverser", "wash", "yard"}},
        {"waterway", AreaRule::Match::only, {"riverbank", "dock", "boatyard", "dam", "fuel"}},
        {"highway", AreaRule::Match::only, {"services", "rest_area", "elevator", "platform"}},
        {"golf", AreaRule::Match::except, {"hole", "path", "cartpath"}},
        {"indoor", AreaRule::Match::only, {"room", "area", "corridor", "level"}},
        {"playground", AreaRule::Match::any, {}},
        {"piste:type", AreaRule::Match::only, {"snow_park", "playground"}},
        {"attraction", AreaRule::Match::except, {"water_slide", "roller_coaster", "summer_toboggan", "river_rafting", "train"}},
        {"advertising", AreaRule::Match::only, {"board", "billboard"}},
        {"telecom", AreaRule::Match::only, {"exchange", "data_center"}},
    };
    return table;
}

}  // namespace geojepa
