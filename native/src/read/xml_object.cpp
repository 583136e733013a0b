// libosmium's builders, used once the object is complete.
#include "read/xml_object.hpp"

#include <cstring>
#include <osmium/builder/osm_object_builder.hpp>
#include <osmium/osm/node.hpp>
#include <osmium/osm/relation.hpp>
#include <osmium/osm/way.hpp>

namespace geojepa {
namespace {

void build_tags(const XmlObject& object, osmium::builder::Builder& parent) {
    if (object.tags.empty()) {
        return;
    }
    osmium::builder::TagListBuilder tags{parent};
    for (const XmlObject::Tag& tag : object.tags) {
        tags.add_tag(object.text.c_str() + tag.key, object.text.c_str() + tag.value);
    }
}

void build_node(const XmlObject& object, osmium::memory::Buffer& buffer) {
    osmium::builder::NodeBuilder node{buffer};
    node.set_id(object.id).set_version(object.version).set_visible(!object.deleted);
    if (object.location.is_defined()) {
        node.set_location(object.location);
    }
    build_tags(object, node);
}

void build_way(const XmlObject& object, osmium::memory::Buffer& buffer) {
    osmium::builder::WayBuilder way{buffer};
    way.set_id(object.id).set_version(object.version).set_visible(!object.deleted);
    if (!object.refs.empty()) {
        osmium::builder::WayNodeListBuilder nodes{way};
        for (const osmium::NodeRef& ref : object.refs) {
            nodes.add_node_ref(ref);
        }
    }
    build_tags(object, way);
}

/// The member's positions as an object in `scratch`; null where it has none.
const osmium::OSMObject* build_full_member(const XmlObject& object, const XmlObject::Member& member,
                                           osmium::memory::Buffer& scratch) {
    if (member.first_position == member.last_position || member.type == osmium::item_type::relation) {
        return nullptr;
    }
    scratch.clear();
    if (member.type == osmium::item_type::node) {
        osmium::builder::NodeBuilder node{scratch};
        node.set_id(member.ref).set_location(object.member_positions[member.first_position]);
    } else {
        osmium::builder::WayBuilder way{scratch};
        way.set_id(member.ref);
        osmium::builder::WayNodeListBuilder nodes{way};
        for (std::size_t i = member.first_position; i < member.last_position; ++i) {
            nodes.add_node_ref(osmium::NodeRef{0, object.member_positions[i]});
        }
    }
    scratch.commit();
    return &scratch.get<osmium::OSMObject>(0);
}

void build_relation(const XmlObject& object, osmium::memory::Buffer& buffer, osmium::memory::Buffer& scratch) {
    osmium::builder::RelationBuilder relation{buffer};
    relation.set_id(object.id).set_version(object.version).set_visible(!object.deleted);
    if (!object.members.empty()) {
        osmium::builder::RelationMemberListBuilder members{relation};
        for (const XmlObject::Member& member : object.members) {
            const char* role = object.text.c_str() + member.role;
            members.add_member(member.type, member.ref, role, std::strlen(role),
                               build_full_member(object, member, scratch));
        }
    }
    build_tags(object, relation);
}

}  // namespace

void XmlObject::clear() {
    version = 0;
    deleted = false;
    centred = false;
    location = osmium::Location{};
    tags.clear();
    refs.clear();
    members.clear();
    member_positions.clear();
    text.clear();
}

std::size_t XmlObject::store(const char* value) {
    const std::size_t first = text.size();
    text.append(value, std::strlen(value) + 1);
    return first;
}

void append(const XmlObject& object, osmium::memory::Buffer& buffer, osmium::memory::Buffer& scratch) {
    switch (object.type) {
        case osmium::item_type::node:
            build_node(object, buffer);
            break;
        case osmium::item_type::way:
            build_way(object, buffer);
            break;
        default:
            build_relation(object, buffer, scratch);
    }
    buffer.commit();
}

}  // namespace geojepa
