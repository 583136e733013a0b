// Converts rows to the element types of the file: u16 at zoom 16 and finer, f32 below.
#include "process/processed_columns.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace geojepa {
namespace {

/// A box without redundant values: centre, half of the first side, ratio of the second side to the first.
struct BoxRow {
    std::array<double, 2> centre;
    std::array<float, 3> side;
};

BoxRow box_row(const StoredBox& box) {
    const std::array<double, 2> along{(double{box[2]} - double{box[0]}) / 2, (double{box[3]} - double{box[1]}) / 2};
    const std::array<double, 2> across{(double{box[6]} - double{box[0]}) / 2, (double{box[7]} - double{box[1]}) / 2};
    const double ratio = std::hypot(across[0], across[1]) / std::hypot(along[0], along[1]);
    return {
        .centre = {(double{box[0]} + double{box[4]}) / 2, (double{box[1]} + double{box[5]}) / 2},
        .side = {static_cast<float>(along[0]), static_cast<float>(along[1]), static_cast<float>(ratio)},
    };
}

template <typename T, std::size_t Width>
std::span<const T> flat(const std::vector<std::array<T, Width>>& rows) {
    return {rows.empty() ? nullptr : rows.front().data(), rows.size() * Width};
}

}  // namespace

ProcessedColumns::ProcessedColumns(ColumnWriter& writer, const std::string& path, std::uint32_t zoom,
                                   const Directory& directory)
    : writer_{writer},
      lattice_{lattice_of(zoom)},
      xy_u16_{path, schema::node_xy_u16},
      xy_f32_{path, schema::node_xy_f32},
      ends_{path, schema::edge_ends},
      piece_edges_{path, schema::piece_edges_u32, schema::piece_edges},
      part_nodes_{path, schema::part_nodes_u32, schema::part_nodes},
      is_u16_{lattice_.low >= 0} {
    writer_.create(schema::piece_box_side, directory.pieces);
    if (is_u16_) {
        writer_.create(schema::piece_box_centre_u16, directory.pieces);
    } else {
        writer_.create(schema::piece_box_centre_f32, directory.pieces);
    }
}

void ProcessedColumns::append(const ProcessedRows& rows) {
    append_boxes(rows.boxes);
    append_nodes(rows.nodes);
    piece_edges_.append(rows.edge_counts);
    part_nodes_.append(rows.part_sizes);
    ends_.append(flat<std::uint32_t>(rows.edges));
}

void ProcessedColumns::finish() {
    if (is_u16_) {
        xy_u16_.move_to(writer_);
    } else {
        xy_f32_.move_to(writer_);
    }
    piece_edges_.move_to(writer_);
    part_nodes_.move_to(writer_);
    ends_.move_to(writer_);
}

void ProcessedColumns::append_boxes(const std::vector<StoredBox>& boxes) {
    std::vector<std::array<float, 3>> sides;
    std::vector<std::array<std::uint16_t, 2>> centres_u16;
    std::vector<std::array<float, 2>> centres_f32;
    for (const StoredBox& box : boxes) {
        const auto& [centre, side] = box_row(box);
        sides.push_back(side);
        if (is_u16_) {
            centres_u16.push_back({fixed_point(centre[0]), fixed_point(centre[1])});
        } else {
            centres_f32.push_back({static_cast<float>(centre[0]), static_cast<float>(centre[1])});
        }
    }
    writer_.write_at(schema::piece_box_side, pieces_, flat<float>(sides));
    if (is_u16_) {
        writer_.write_at(schema::piece_box_centre_u16, pieces_, flat<std::uint16_t>(centres_u16));
    } else {
        writer_.write_at(schema::piece_box_centre_f32, pieces_, flat<float>(centres_f32));
    }
    pieces_ += boxes.size();
}

std::uint16_t ProcessedColumns::fixed_point(double tile_units) const {
    const double value = std::round(tile_units * lattice_.scale) + lattice_.offset;
    return static_cast<std::uint16_t>(std::clamp(value, 0.0, double{std::numeric_limits<std::uint16_t>::max()}));
}

void ProcessedColumns::append_nodes(std::span<const LatticePoint> nodes) {
    if (is_u16_) {
        std::vector<std::uint16_t> values;
        values.reserve(2 * nodes.size());
        for (const LatticePoint node : nodes) {
            values.push_back(static_cast<std::uint16_t>(node.x));
            values.push_back(static_cast<std::uint16_t>(node.y));
        }
        xy_u16_.append(values);
        return;
    }
    std::vector<float> values;
    values.reserve(2 * nodes.size());
    for (const LatticePoint node : nodes) {
        values.push_back(static_cast<float>(node.x / lattice_.scale));
        values.push_back(static_cast<float>(node.y / lattice_.scale));
    }
    xy_f32_.append(values);
}

}  // namespace geojepa
