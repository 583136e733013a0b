// Clips the polygons as any other area, and keeps the tiles as spans of columns.
#include "clip/tile_set.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "clip/clip_area.hpp"

namespace geojepa {

TileSet::TileSet(const Grid& grid, const std::vector<Polygon>& polygons) {
    TiledParts parts;
    for (const Polygon& polygon : polygons) {
        (void)clip_area(grid, grid.all_tiles(), polygon, parts);
    }
    std::vector<Span> spans;
    for (const TiledParts::Part& part : parts.parts) {
        spans.push_back({.y = part.tile.y, .first = part.tile.x, .last = part.tile.x});
    }
    for (const auto& [tiles, outlines] : parts.covered) {
        for (std::uint32_t y = tiles.first.y; y <= tiles.last.y; ++y) {
            spans.push_back({.y = y, .first = tiles.first.x, .last = tiles.last.x});
        }
    }
    std::sort(spans.begin(), spans.end(),
              [](const Span& a, const Span& b) { return std::tie(a.y, a.first) < std::tie(b.y, b.first); });
    for (const Span& span : spans) {
        if (!spans_.empty() && spans_.back().y == span.y && span.first <= spans_.back().last + 1) {
            spans_.back().last = std::max(spans_.back().last, span.last);
        } else {
            spans_.push_back(span);
        }
    }
}

TileWindow TileSet::window() const {
    TileWindow window{
        .first = {spans_.front().first, spans_.front().y},
        .last = {spans_.front().last, spans_.back().y},
    };
    for (const Span& span : spans_) {
        window.first.x = std::min(window.first.x, span.first);
        window.last.x = std::max(window.last.x, span.last);
    }
    return window;
}

std::vector<TileSet::Span>::const_iterator TileSet::first_in_row(std::uint32_t y) const {
    return std::lower_bound(spans_.begin(), spans_.end(), y,
                            [](const Span& span, std::uint32_t row) { return span.y < row; });
}

bool TileSet::contains(TileIndex tile) const {
    for (auto span = first_in_row(tile.y); span != spans_.end() && span->y == tile.y; ++span) {
        if (tile.x >= span->first && tile.x <= span->last) {
            return true;
        }
    }
    return false;
}

void TileSet::restrict(TiledParts& parts) const {
    std::erase_if(parts.parts, [this](const TiledParts::Part& part) { return !contains(part.tile); });
    for (const auto& [tiles, outlines] : std::exchange(parts.covered, {})) {
        for (auto span = first_in_row(tiles.first.y); span != spans_.end() && span->y <= tiles.last.y; ++span) {
            const TileWindow common{
                .first = {std::max(span->first, tiles.first.x), span->y},
                .last = {std::min(span->last, tiles.last.x), span->y},
            };
            if (common.first.x <= common.last.x) {
                parts.covered.push_back({.tiles = common, .outlines = outlines});
            }
        }
    }
}

}  // namespace geojepa
