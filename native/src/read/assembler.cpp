// Builds the objects that libosmium's assembler takes. Their ids are counted up: it decides by positions only.
#include "read/assembler.hpp"

#include <osmium/area/assembler.hpp>
#include <osmium/builder/osm_object_builder.hpp>
#include <osmium/memory/buffer.hpp>
#include <osmium/osm/area.hpp>
#include <osmium/osm/relation.hpp>
#include <osmium/osm/way.hpp>

namespace geojepa {
namespace {

constexpr std::size_t initial_bytes = std::size_t{1} << 16U;

osmium::memory::Buffer growing_buffer() {
    return osmium::memory::Buffer{initial_bytes, osmium::memory::Buffer::auto_grow::yes};
}

void add_way(osmium::memory::Buffer& buffer, osmium::object_id_type id, std::span<const Position> positions) {
    {
        osmium::builder::WayBuilder way{buffer};
        way.set_id(id);
        osmium::builder::WayNodeListBuilder nodes{buffer, &way};
        osmium::object_id_type node = 1;
        for (const Position position : positions) {
            nodes.add_node_ref(osmium::NodeRef{node++, osmium::Location{position.lon, position.lat}});
        }
    }
    buffer.commit();
}

void add_relation(osmium::memory::Buffer& buffer, const std::vector<MemberLine>& lines) {
    {
        osmium::builder::RelationBuilder relation{buffer};
        relation.set_id(1);
        osmium::builder::RelationMemberListBuilder members{buffer, &relation};
        for (std::size_t i = 0; i < lines.size(); ++i) {
            members.add_member(osmium::item_type::way, static_cast<osmium::object_id_type>(i + 1), lines[i].role.data(),
                               lines[i].role.size());
        }
    }
    buffer.commit();
}

Ring to_ring(const osmium::NodeRefList& nodes) {
    Ring ring;
    for (const auto* node = nodes.begin(); node + 1 < nodes.end(); ++node) {
        ring.push_back({static_cast<double>(node->x()), static_cast<double>(node->y())});
    }
    return ring;
}

std::vector<Polygon> to_polygons(const osmium::Area& area) {
    std::vector<Polygon> polygons;
    for (const osmium::OuterRing& outer : area.outer_rings()) {
        Polygon polygon{{to_ring(outer)}};
        for (const osmium::InnerRing& inner : area.inner_rings(outer)) {
            polygon.rings.push_back(to_ring(inner));
        }
        orient(polygon);
        polygons.push_back(std::move(polygon));
    }
    return polygons;
}

}  // namespace

std::vector<Polygon> assemble(const std::vector<MemberLine>& lines) {
    osmium::memory::Buffer way_buffer = growing_buffer();
    for (std::size_t i = 0; i < lines.size(); ++i) {
        add_way(way_buffer, static_cast<osmium::object_id_type>(i + 1), lines[i].positions);
    }
    osmium::memory::Buffer relation_buffer = growing_buffer();
    add_relation(relation_buffer, lines);
    std::vector<const osmium::Way*> ways;
    for (const osmium::Way& way : way_buffer.select<osmium::Way>()) {
        ways.push_back(&way);
    }
    osmium::area::AssemblerConfig config;
    config.create_empty_areas = false;
    osmium::area::Assembler assembler{config};
    osmium::memory::Buffer area_buffer = growing_buffer();
    if (!assembler(relation_buffer.get<osmium::Relation>(0), ways, area_buffer)) {
        return {};
    }
    return to_polygons(area_buffer.get<osmium::Area>(0));
}

}  // namespace geojepa
