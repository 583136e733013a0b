// GeoJSON is read by GEOS; `.poly` is lines: a name, then sections of "lon lat" up to END, `!` before those of holes.
#include "read/polygon_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "clip/repair.hpp"
#include "clip/split.hpp"
#include "errors.hpp"
#include "read/geojson.hpp"

namespace geojepa {
namespace {

const Hint& other_polygon() {
    static const Hint hint{.options = {{"polygon", "FILE"}}};
    return hint;
}

constexpr const char* formats = " (read are GeoJSON with polygons, and Osmosis .poly files)";

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
    throw InputError("`" + path + "`: " + reason + formats, other_polygon());
}

std::string read_text(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        throw InputError("cannot open `" + path + "`: " + std::strerror(errno), other_polygon());
    }
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    if (file.bad()) {
        throw InputError("cannot read `" + path + "`", other_polygon());
    }
    return text;
}

/// A section's points, up to its END.
Ring read_section(std::istream& lines, const std::string& path) {
    Ring ring;
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream words{line};
        Point point;
        if (words >> point.lon >> point.lat) {
            ring.push_back({point.lon * units_per_degree, point.lat * units_per_degree});
        } else if (line.find("END") != std::string::npos) {
            while (ring.size() > 1 && ring.front() == ring.back()) {
                ring.pop_back();
            }
            return ring;
        } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
            refuse(path, std::string{"`"}.append(line, 0, 40).append("` is no longitude and latitude"));
        }
    }
    refuse(path, "a section has no END");
}

std::vector<Polygon> parse_poly(const std::string& text, const std::string& path) {
    std::istringstream lines{text};
    std::string line;
    (void)std::getline(lines, line);  // the file's name
    std::vector<Polygon> polygons;
    std::vector<Ring> holes;
    while (std::getline(lines, line) && !line.starts_with("END")) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            continue;
        }
        Ring ring = read_section(lines, path);
        if (ring.size() < 3) {
            refuse(path, "a section has fewer than three points");
        }
        if (line.starts_with("!")) {
            holes.push_back(std::move(ring));
        } else {
            polygons.push_back({{std::move(ring)}});
        }
    }
    for (Ring& hole : holes) {
        for (Polygon& polygon : polygons) {
            if (ring_contains(polygon.rings.front(), hole.front())) {
                polygon.rings.push_back(hole);
            }
        }
    }
    return polygons;
}

bool on_globe(const Polygon& polygon) {
    return std::all_of(polygon.rings.begin(), polygon.rings.end(), [](const Ring& ring) {
        return std::all_of(ring.begin(), ring.end(), [](Point p) {
            return std::abs(p.lon) <= 180 * units_per_degree && std::abs(p.lat) <= 90 * units_per_degree;
        });
    });
}

}  // namespace

std::vector<Polygon> read_polygons(const std::string& path) {
    const std::string text = read_text(path);
    const std::size_t start = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    const bool json = start != std::string::npos && text[start] == '{';
    const std::vector<Polygon> found = json ? polygons_of_geojson(text.substr(start)) : parse_poly(text, path);
    std::vector<Polygon> valid;
    for (const Polygon& polygon : found) {
        if (!on_globe(polygon)) {
            refuse(path, "a point is not on the globe: longitude within 180 degrees, latitude within 90");
        }
        std::ranges::move(make_valid(polygon.rings), std::back_inserter(valid));
    }
    if (valid.empty()) {
        refuse(path, "it holds no polygon");
    }
    return valid;
}

}  // namespace geojepa
