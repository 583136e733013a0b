// Generated from native/schema.yaml by tools/generate_schema.py. Do not edit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace geojepa::schema {

inline constexpr std::uint32_t version = 3;
inline constexpr std::size_t alignment = 64;

/// A dataset of the file: its path, its element type and its values per row.
template <typename T>
struct Column {
    using value_type = T;
    const char* path;
    std::size_t width;
};

enum class OsmType : std::uint8_t { node = 0, way = 1, relation = 2 };
enum class Kind : std::uint8_t { point = 0, line = 1, area = 2, relation = 3 };
enum class Role : std::uint8_t { point = 0, line = 1, outer = 2, inner = 3 };
enum class Token : std::uint8_t { entity = 0, boundary = 1, restriction = 2 };

inline constexpr Column<std::uint8_t> tile_z{"tile/z", 1};
inline constexpr Column<std::uint32_t> tile_x{"tile/x", 1};
inline constexpr Column<std::uint32_t> tile_y{"tile/y", 1};
inline constexpr Column<double> tile_east_m{"tile/east_m", 1};
inline constexpr Column<double> tile_north_m{"tile/north_m", 1};
inline constexpr Column<std::uint64_t> tile_pieces{"tile/pieces", 1};
inline constexpr Column<std::uint32_t> tile_pieces_u32{"tile/pieces", 1};
inline constexpr Column<std::uint8_t> object_osm_type{"object/osm_type", 1};
inline constexpr Column<std::int64_t> object_osm_id{"object/osm_id", 1};
inline constexpr Column<std::uint32_t> object_version{"object/version", 1};
inline constexpr Column<std::uint8_t> object_kind{"object/kind", 1};
inline constexpr Column<std::uint8_t> object_token{"object/token", 1};
inline constexpr Column<std::uint32_t> object_absent_members{"object/absent_members", 1};
inline constexpr Column<std::uint64_t> object_tags{"object/tags", 1};
inline constexpr Column<std::uint32_t> object_tags_u32{"object/tags", 1};
inline constexpr Column<std::uint64_t> object_members{"object/members", 1};
inline constexpr Column<std::uint32_t> object_members_u32{"object/members", 1};
inline constexpr Column<std::uint32_t> piece_object{"piece/object", 1};
inline constexpr Column<float> piece_area_m2{"piece/area_m2", 1};
inline constexpr Column<float> piece_length_m{"piece/length_m", 1};
inline constexpr Column<std::uint8_t> piece_covers_tile{"piece/covers_tile", 1};
inline constexpr Column<std::uint64_t> piece_parts{"piece/parts", 1};
inline constexpr Column<std::uint32_t> piece_parts_u32{"piece/parts", 1};
inline constexpr Column<std::uint16_t> piece_box_centre_u16{"piece/box_centre", 2};
inline constexpr Column<float> piece_box_centre_f32{"piece/box_centre", 2};
inline constexpr Column<float> piece_box_side{"piece/box_side", 3};
inline constexpr Column<std::uint64_t> piece_edges{"piece/edges", 1};
inline constexpr Column<std::uint32_t> piece_edges_u32{"piece/edges", 1};
inline constexpr Column<std::uint8_t> part_role{"part/role", 1};
inline constexpr Column<std::uint64_t> part_nodes{"part/nodes", 1};
inline constexpr Column<std::uint32_t> part_nodes_u32{"part/nodes", 1};
inline constexpr Column<std::int32_t> node_lonlat{"node/lonlat", 2};
inline constexpr Column<std::uint16_t> node_xy_u16{"node/xy", 2};
inline constexpr Column<float> node_xy_f32{"node/xy", 2};
inline constexpr Column<std::uint32_t> edge_ends{"edge/ends", 2};
inline constexpr Column<std::uint32_t> member_relation{"member/relation", 1};
inline constexpr Column<std::uint32_t> member_object{"member/object", 1};
inline constexpr Column<std::uint32_t> member_role{"member/role", 1};
inline constexpr Column<std::uint64_t> role_text{"role/text", 1};
inline constexpr Column<std::uint32_t> role_text_u32{"role/text", 1};
inline constexpr Column<std::uint8_t> role_text_utf8{"role/text_utf8", 1};
inline constexpr Column<std::uint32_t> tag_vocab{"tag/vocab", 1};
inline constexpr Column<std::uint64_t> vocab_key{"vocab/key", 1};
inline constexpr Column<std::uint32_t> vocab_key_u32{"vocab/key", 1};
inline constexpr Column<std::uint8_t> vocab_key_utf8{"vocab/key_utf8", 1};
inline constexpr Column<std::uint64_t> vocab_value{"vocab/value", 1};
inline constexpr Column<std::uint32_t> vocab_value_u32{"vocab/value", 1};
inline constexpr Column<std::uint8_t> vocab_value_utf8{"vocab/value_utf8", 1};
inline constexpr Column<std::uint32_t> vocab_count{"vocab/count", 1};

}  // namespace geojepa::schema
