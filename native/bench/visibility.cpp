// Measures the growth of the time for visibility edges with the vertices of one relation, on several kinds of scenes.
// Prints JSON: microseconds for each number of vertices, and the exponent of a fitted power law.
//
//   geojepa-visibility [K]      edges searched for each vertex; default 1
#include "process/visibility.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numbers>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace geojepa;

constexpr double extent = 49152;
constexpr std::size_t min_vertices = 100;
constexpr std::size_t max_vertices = 10'000;
constexpr int runs = 5;

struct Scene {
    std::vector<LatticePoint> nodes;
    std::vector<std::uint32_t> part_begin{0};
    std::vector<std::uint8_t> is_ring;

    void push(double x, double y) { nodes.push_back({static_cast<std::int32_t>(x), static_cast<std::int32_t>(y)}); }
    void close(bool ring) {
        part_begin.push_back(static_cast<std::uint32_t>(nodes.size()));
        is_ring.push_back(ring ? 1 : 0);
    }
    void add_ring(double x, double y, double radius, std::size_t count, double wave) {
        for (std::size_t at = 0; at < count; ++at) {
            const double angle = 2 * std::numbers::pi * static_cast<double>(at) / static_cast<double>(count);
            const double r = radius * (1 - wave * static_cast<double>(at % 2));
            push(x + r * std::cos(angle), y + r * std::sin(angle));
        }
        close(true);
    }
};

/// A multipolygon: an outer ring with bays, and rows of holes with sixteen vertices.
Scene holes(std::size_t count) {
    Scene scene;
    scene.add_ring(extent / 2, extent / 2, extent / 2, count / 3, 0.2);
    const auto rows = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count) / 24)));
    const double step = extent / 2 / static_cast<double>(rows);
    for (std::size_t at = 0; at < rows * rows; ++at) {
        scene.add_ring(extent / 4 + step * (static_cast<double>(at % rows) + 0.5),
                       extent / 4 + step * (static_cast<double>(at / rows) + 0.5), step / 3, 16, 0.3);
    }
    return scene;
}

/// Concentric rings: all are near, but each sees only the next ones.
Scene nested(std::size_t count) {
    Scene scene;
    const std::size_t rings = std::max<std::size_t>(2, count / 200);
    for (std::size_t ring = 0; ring < rings; ++ring) {
        scene.add_ring(extent / 2, extent / 2, extent / 2 * static_cast<double>(ring + 1) / static_cast<double>(rings),
                       count / rings, 0);
    }
    return scene;
}

/// Two interleaved spirals.
Scene spirals(std::size_t count) {
    Scene scene;
    for (const double start : {0.0, std::numbers::pi}) {
        for (std::size_t at = 0; at < count / 2; ++at) {
            const double share = static_cast<double>(at) / static_cast<double>(count / 2);
            const double angle = start + 40 * std::numbers::pi * share;
            scene.push(extent / 2 * (1 + share * std::cos(angle)), extent / 2 * (1 + share * std::sin(angle)));
        }
        scene.close(false);
    }
    return scene;
}

/// A route: ways of ten vertices, each of which begins where the previous one ends.
Scene route(std::size_t count) {
    Scene scene;
    std::mt19937 random{3};
    std::uniform_real_distribution<double> step{-400, 400};
    double x = extent / 2;
    double y = extent / 2;
    for (std::size_t at = 0; at < count; ++at) {
        scene.push(x, y);
        if (at % 10 == 9) {
            scene.close(false);
        } else {
            x = std::clamp(x + step(random), 0.0, extent);
            y = std::clamp(y + step(random), 0.0, extent);
        }
    }
    return scene;
}

/// Random straight lines that cross each other.
Scene crossings(std::size_t count) {
    Scene scene;
    std::mt19937 random{4};
    std::uniform_real_distribution<double> place{0, extent};
    for (std::size_t at = 0; at < count / 2; ++at) {
        scene.push(place(random), place(random));
        scene.push(place(random), place(random));
        scene.close(false);
    }
    return scene;
}

/// Single points, none of which is hidden.
Scene points(std::size_t count) {
    Scene scene;
    std::mt19937 random{5};
    std::uniform_real_distribution<double> place{0, extent};
    for (std::size_t at = 0; at < count; ++at) {
        scene.push(place(random), place(random));
        scene.close(false);
    }
    return scene;
}

/// The minimum time of several runs.
double microseconds(const Scene& scene, std::uint32_t per_node, std::size_t& edges) {
    using clock = std::chrono::steady_clock;
    double best = 1e300;
    for (int run = 0; run < runs; ++run) {
        const auto start = clock::now();
        edges = visibility_edges({.nodes = scene.nodes, .part_begin = scene.part_begin, .part_is_ring = scene.is_ring},
                                 per_node)
                    .size();
        best = std::min(best, std::chrono::duration<double, std::micro>(clock::now() - start).count());
    }
    return best;
}

/// The slope of the least-squares line through the logarithms.
double exponent(const std::vector<double>& vertices, const std::vector<double>& times) {
    double x = 0;
    double y = 0;
    double xx = 0;
    double xy = 0;
    for (std::size_t at = 0; at < vertices.size(); ++at) {
        const double u = std::log(vertices[at]);
        const double v = std::log(times[at]);
        x += u;
        y += v;
        xx += u * u;
        xy += u * v;
    }
    const auto n = static_cast<double>(vertices.size());
    return (n * xy - x * y) / (n * xx - x * x);
}

void measure(const char* name, Scene (*make)(std::size_t), std::uint32_t per_node, bool last) {
    std::vector<double> vertices;
    std::vector<double> times;
    std::string rows;
    for (std::size_t count = min_vertices; count <= max_vertices; count = count * 10 / 4) {
        count = count > max_vertices / 2 ? max_vertices : count;
        const Scene scene = make(count);
        std::size_t edges = 0;
        vertices.push_back(static_cast<double>(scene.nodes.size()));
        times.push_back(microseconds(scene, per_node, edges));
        char row[128];
        (void)std::snprintf(row, sizeof(row), R"(%s{"vertices": %zu, "edges": %zu, "us": %.0f})",
                            rows.empty() ? "" : ", ", scene.nodes.size(), edges, times.back());
        rows += row;
    }
    std::printf("  \"%s\": {\"exponent\": %.2f, \"runs\": [%s]}%s\n", name, exponent(vertices, times), rows.c_str(),
                last ? "" : ",");
}

}  // namespace

int main(int argc, char** argv) {
    const auto per_node = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1);
    std::printf("{\n");
    measure("holes", holes, per_node, false);
    measure("nested", nested, per_node, false);
    measure("spirals", spirals, per_node, false);
    measure("route", route, per_node, false);
    measure("crossings", crossings, per_node, false);
    measure("points", points, per_node, true);
    std::printf("}\n");
    return 0;
}
