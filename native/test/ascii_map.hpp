// Maps drawn with letters, as test input. Each letter is a position. A tile is 8 columns wide and 4 rows high.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "clip/clip_area.hpp"
#include "clip/clip_line.hpp"

/// The first row and column lie in tile (32768, 32768) of zoom 16, at the equator and Greenwich, where tiles are
/// squares. A letter is in the middle of its cell, never on an edge.
class AsciiMap {
public:
    explicit AsciiMap(const std::vector<std::string_view>& rows) {
        for (std::size_t row = 0; row < rows.size(); ++row) {
            for (std::size_t column = 0; column < rows[row].size(); ++column) {
                const char letter = rows[row][column];
                if (letter != '.' && letter != ' ') {
                    places_[letter] = {unit((static_cast<double>(column) + 0.5) / 8),
                                       unit(-(static_cast<double>(row) + 0.5) / 4)};
                }
            }
            width_ = std::max(width_, (rows[row].size() + 7) / 8);
        }
        height_ = (rows.size() + 3) / 4;
    }

    std::vector<geojepa::Position> line(std::string_view letters) const {
        std::vector<geojepa::Position> positions;
        for (const char letter : letters) {
            positions.push_back(places_.at(letter));
        }
        return positions;
    }

    geojepa::Polygon area(const std::vector<std::string_view>& rings) const {
        geojepa::Polygon polygon;
        for (const std::string_view letters : rings) {
            geojepa::Ring ring;
            for (const geojepa::Position p : line(letters)) {
                ring.push_back({static_cast<double>(p.lon), static_cast<double>(p.lat)});
            }
            polygon.rings.push_back(ring);
        }
        orient(polygon);
        return polygon;
    }

    /// The number of parts in each tile, row by row: a digit, `.` for none, `#` for a covered tile.
    std::vector<std::string> draw(const geojepa::TiledParts& parts) const {
        std::vector<std::string> rows(height_, std::string(width_, '.'));
        for (const auto& part : parts.parts) {
            char& cell = rows.at(part.tile.y - corner).at(part.tile.x - corner);
            cell = cell == '.' ? '1' : static_cast<char>(cell + 1);
        }
        for (const auto& [window, outlines] : parts.covered) {
            for (std::uint32_t y = window.first.y; y <= window.last.y; ++y) {
                for (std::uint32_t x = window.first.x; x <= window.last.x; ++x) {
                    rows.at(y - corner).at(x - corner) = '#';
                }
            }
        }
        return rows;
    }

    std::vector<std::string> draw_line(std::string_view letters) const {
        geojepa::TiledParts parts;
        (void)clip_line(grid(), grid().all_tiles(), line(letters), parts);
        return draw(parts);
    }

    std::vector<std::string> draw_area(const std::vector<std::string_view>& rings) const {
        geojepa::TiledParts parts;
        (void)clip_area(grid(), grid().all_tiles(), area(rings), parts);
        return draw(parts);
    }

private:
    static constexpr std::uint32_t corner = 32768;

    static const geojepa::Grid& grid() {
        static const geojepa::Grid grid{16};
        return grid;
    }
    static std::int32_t unit(double tiles) { return static_cast<std::int32_t>(std::lround(tiles * 54931.640625)); }

    std::map<char, geojepa::Position> places_;
    std::size_t width_ = 0;
    std::size_t height_ = 0;
};
