// Each element is unpacked once, by the worker that uses it.
#include "read/unpack.hpp"

#include <algorithm>
#include <cstring>
#include <osmium/osm.hpp>
#include <tuple>
#include <utility>

namespace geojepa {
namespace {

/// Up to this many tags are compared pair by pair, which needs no memory.
constexpr std::size_t few_tags = 32;

schema::OsmType type_of(osmium::item_type type) {
    switch (type) {
        case osmium::item_type::node:
            return schema::OsmType::node;
        case osmium::item_type::way:
            return schema::OsmType::way;
        default:
            return schema::OsmType::relation;
    }
}

Position position_of(osmium::Location location) {
    return location.valid() ? Position{location.x(), location.y()} : nowhere;
}

bool same(const Tag& a, const Tag& b) {
    return a.key == b.key && a.value == b.value;
}

/// Removes repeated tags from the end of `tags`, starting at `first`; the first of equal ones stays where it is.
void remove_repeated(std::vector<Tag>& tags, std::size_t first) {
    const auto begin = tags.begin() + static_cast<std::ptrdiff_t>(first);
    if (tags.size() - first <= few_tags) {
        auto kept = begin;
        for (auto tag = begin; tag != tags.end(); ++tag) {
            if (std::none_of(begin, kept, [&](const Tag& other) { return same(*tag, other); })) {
                *kept++ = *tag;
            }
        }
        tags.erase(kept, tags.end());
        return;
    }
    std::vector<std::pair<Tag, std::size_t>> sorted;
    for (auto tag = begin; tag != tags.end(); ++tag) {
        sorted.emplace_back(*tag, sorted.size());
    }
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return std::tie(a.first.key, a.first.value, a.second) < std::tie(b.first.key, b.first.value, b.second);
    });
    sorted.erase(
        std::unique(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return same(a.first, b.first); }),
        sorted.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    tags.resize(first);
    for (const auto& [tag, place] : sorted) {
        tags.push_back(tag);
    }
}

/// Adds the tags of an object. libosmium's iterator is not used: it searches for the ends of texts, and a zero byte in
/// a damaged text leads it past the object. A key that lost its value this way is left out.
void unpack_tags(const osmium::OSMObject& object, std::vector<Tag>& tags) {
    const osmium::TagList& list = object.tags();
    std::string_view left{reinterpret_cast<const char*>(list.data()), list.byte_size()};
    left.remove_prefix(std::min(left.size(), sizeof(osmium::TagList)));
    const std::size_t first = tags.size();
    while (true) {
        const std::size_t key = left.find('\0');
        const std::size_t value = key == std::string_view::npos ? key : left.find('\0', key + 1);
        if (value == std::string_view::npos) {
            break;
        }
        tags.push_back({left.substr(0, key), left.substr(key + 1, value - key - 1)});
        left.remove_prefix(value + 1);
    }
    remove_repeated(tags, first);
}

Element unpack_object(const osmium::OSMObject& object, Elements& out) {
    Element element{};
    element.id = object.id();
    element.version = object.version();
    element.deleted = object.deleted();
    element.first_tag = out.tags.size();
    unpack_tags(object, out.tags);
    element.last_tag = out.tags.size();
    return element;
}

void unpack_into(const osmium::Node& node, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(node, out);
    element.sequence = sequence;
    element.located = node.location().valid();
    element.position = {node.location().x(), node.location().y()};
    out.rows.push_back(element);
}

void unpack_into(const osmium::Way& way, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(way, out);
    element.sequence = sequence;
    element.first_ref = out.refs.size();
    for (const osmium::NodeRef& node : way.nodes()) {
        out.refs.push_back(node.ref());
    }
    element.last_ref = out.refs.size();
    out.rows.push_back(element);
}

/// Adds the positions that stand on a member.
void unpack_shape(const osmium::RelationMember& member, Elements& out) {
    const osmium::OSMObject& object = member.get_object();
    const std::size_t first = out.member_positions.size();
    if (object.type() == osmium::item_type::node) {
        out.member_positions.push_back(position_of(static_cast<const osmium::Node&>(object).location()));
    } else if (object.type() == osmium::item_type::way) {
        for (const osmium::NodeRef& node : static_cast<const osmium::Way&>(object).nodes()) {
            out.member_positions.push_back(position_of(node.location()));
        }
    }
    out.member_shapes.push_back({type_of(member.type()), member.ref(), first, out.member_positions.size()});
}

void unpack_into(const osmium::Relation& relation, Elements& out, std::uint64_t sequence) {
    Element element = unpack_object(relation, out);
    element.sequence = sequence;
    element.first_ref = out.members.size();
    for (const osmium::RelationMember& member : relation.members()) {
        out.members.push_back({type_of(member.type()), member.ref(), member.role()});
        if (member.full_member()) {
            unpack_shape(member, out);
        }
    }
    element.last_ref = out.members.size();
    out.rows.push_back(element);
}

bool has_position(const osmium::Way& way) {
    const osmium::WayNodeList& nodes = way.nodes();
    return std::any_of(nodes.begin(), nodes.end(), [](const osmium::NodeRef& node) { return node.location().valid(); });
}

}  // namespace

struct Batch::State {
    osmium::memory::Buffer buffer;
    CentredIds centred;
    TypeCounts first;
    TypeCounts counts;
    bool way_positions = false;

    template <typename Object>
    Elements unpack(std::uint64_t sequence, std::size_t size) const {
        Elements elements;
        elements.rows.reserve(size);
        for (const Object& object : buffer.select<Object>()) {
            unpack_into(object, elements, sequence++);
        }
        return elements;
    }

    Elements unpack_ways() const {
        Elements elements = unpack<osmium::Way>(first.ways, counts.ways);
        mark_centred(elements, centred.ways);
        if (way_positions) {
            elements.ref_positions.reserve(elements.refs.size());
            for (const osmium::Way& way : buffer.select<osmium::Way>()) {
                for (const osmium::NodeRef& node : way.nodes()) {
                    elements.ref_positions.push_back(position_of(node.location()));
                }
            }
        }
        return elements;
    }

    static void mark_centred(Elements& elements, const std::vector<std::int64_t>& ids) {
        for (Element& element : elements.rows) {
            element.centred = !ids.empty() && std::binary_search(ids.begin(), ids.end(), element.id);
        }
    }
};

Batch make_batch(osmium::memory::Buffer buffer, CentredIds centred, TypeCounts& seen) {
    TypeCounts counts;
    bool way_positions = false;
    for (const osmium::OSMEntity& entity : buffer.select<osmium::OSMEntity>()) {
        switch (entity.type()) {
            case osmium::item_type::node:
                ++counts.nodes;
                break;
            case osmium::item_type::way:
                ++counts.ways;
                way_positions = way_positions || has_position(static_cast<const osmium::Way&>(entity));
                break;
            case osmium::item_type::relation:
                ++counts.relations;
                break;
            default:
                break;
        }
    }
    const TypeCounts first = seen;
    seen = {first.nodes + counts.nodes, first.ways + counts.ways, first.relations + counts.relations};
    return Batch{std::make_shared<Batch::State>(
        Batch::State{std::move(buffer), std::move(centred), first, counts, way_positions})};
}

Batch::Batch(std::shared_ptr<const State> state) : state_(std::move(state)) {}

std::size_t Batch::nodes() const noexcept {
    return state_->counts.nodes;
}

std::size_t Batch::ways() const noexcept {
    return state_->counts.ways;
}

bool Batch::has_way_positions() const noexcept {
    return state_->way_positions;
}

Elements Batch::unpack(schema::OsmType type) const {
    if (type == schema::OsmType::node) {
        return state_->unpack<osmium::Node>(state_->first.nodes, state_->counts.nodes);
    }
    if (type == schema::OsmType::way) {
        return state_->unpack_ways();
    }
    Elements elements = state_->unpack<osmium::Relation>(state_->first.relations, state_->counts.relations);
    State::mark_centred(elements, state_->centred.relations);
    return elements;
}

void Batch::headers(schema::OsmType type, std::vector<ElementHeader>& out) const {
    out.clear();
    if (type == schema::OsmType::node) {
        std::uint64_t sequence = state_->first.nodes;
        for (const osmium::Node& node : state_->buffer.select<osmium::Node>()) {
            const osmium::Location place = node.location();
            out.push_back(
                {node.id(), sequence++, node.version(), {place.x(), place.y()}, place.valid(), node.deleted()});
        }
    } else if (type == schema::OsmType::way) {
        std::uint64_t sequence = state_->first.ways;
        for (const osmium::Way& way : state_->buffer.select<osmium::Way>()) {
            out.push_back({way.id(), sequence++, way.version(), {}, false, way.deleted()});
        }
    }
}

void Batch::copies(schema::OsmType type, std::vector<Copy>& out) const {
    out.clear();
    if (type == schema::OsmType::node) {
        std::uint64_t sequence = state_->first.nodes;
        for (const osmium::Node& node : state_->buffer.select<osmium::Node>()) {
            out.push_back({node.id(), sequence++, node.version(), node.deleted(), !node.tags().empty(),
                           node.location().valid(), position_of(node.location())});
        }
    } else if (type == schema::OsmType::way) {
        std::uint64_t sequence = state_->first.ways;
        for (const osmium::Way& way : state_->buffer.select<osmium::Way>()) {
            out.push_back({way.id(), sequence++, way.version(), way.deleted(), !way.tags().empty(),
                           !way.nodes().empty(), nowhere});
        }
    }
}

}  // namespace geojepa
