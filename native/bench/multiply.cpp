// Builds a large sorted extract from copies of small ones, for benchmarks/native.py and tests.
//
//   geojepa-multiply COPIES OUTPUT INPUT...
//
// Ids are shifted so that none occurs twice. Each copy lies 1/64 of the globe east of the previous one. That is a whole
// number of tiles, so every copy is clipped like the first.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <osmium/io/any_input.hpp>
#include <osmium/io/any_output.hpp>
#include <osmium/memory/buffer.hpp>
#include <osmium/object_pointer_collection.hpp>
#include <osmium/osm.hpp>
#include <osmium/osm/object_comparisons.hpp>
#include <osmium/visitor.hpp>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t units_per_turn = 3'600'000'000;
constexpr std::int64_t copies_per_turn = 64;
constexpr std::size_t flush_bytes = std::size_t{8} << 20U;

/// An input in memory, and its highest id.
struct Extract {
    osmium::memory::Buffer buffer;
    osmium::ObjectPointerCollection objects;
    std::int64_t last_id = 0;
};

Extract read(const std::string& path) {
    osmium::io::Reader reader{path};
    Extract extract{osmium::memory::Buffer{flush_bytes, osmium::memory::Buffer::auto_grow::yes}, {}, 0};
    while (const osmium::memory::Buffer part = reader.read()) {
        extract.buffer.add_buffer(part);
        extract.buffer.commit();
    }
    reader.close();
    osmium::apply(extract.buffer, extract.objects);
    extract.objects.sort(osmium::object_order_type_id_version());
    for (const osmium::OSMObject& object : extract.objects) {
        extract.last_id = std::max(extract.last_id, object.id());
    }
    return extract;
}

std::int32_t moved(std::int32_t lon, std::int64_t copy) {
    std::int64_t value = lon + copy * (units_per_turn / copies_per_turn);
    value = (value + units_per_turn / 2) % units_per_turn - units_per_turn / 2;
    return static_cast<std::int32_t>(value);
}

/// Shifts the ids of a copied object by `shift`, and its position by `copy` copies.
void change(osmium::OSMObject& object, std::int64_t shift, std::int64_t copy) {
    object.set_id(object.id() + shift);
    if (object.type() == osmium::item_type::node) {
        auto& node = static_cast<osmium::Node&>(object);
        if (node.location().valid()) {
            node.set_location({moved(node.location().x(), copy), node.location().y()});
        }
    } else if (object.type() == osmium::item_type::way) {
        for (osmium::NodeRef& node : static_cast<osmium::Way&>(object).nodes()) {
            node.set_ref(node.ref() + shift);
        }
    } else {
        for (osmium::RelationMember& member : static_cast<osmium::Relation&>(object).members()) {
            member.set_ref(member.ref() + shift);
        }
    }
}

/// Writes the objects of one type of a copy, with shifted ids.
void write_copy(osmium::io::Writer& writer, Extract& extract, osmium::item_type type, std::int64_t shift,
                std::int64_t copy) {
    osmium::memory::Buffer out{flush_bytes, osmium::memory::Buffer::auto_grow::yes};
    for (const osmium::OSMObject& object : extract.objects) {
        if (object.type() != type) {
            continue;
        }
        auto& added = out.add_item(object);
        change(added, shift, copy);
        out.commit();
        if (out.committed() > flush_bytes / 2) {
            writer(std::move(out));
            out = osmium::memory::Buffer{flush_bytes, osmium::memory::Buffer::auto_grow::yes};
        }
    }
    writer(std::move(out));
}

void multiply(std::int64_t copies, const std::string& output, const std::vector<std::string>& inputs) {
    std::vector<Extract> extracts;
    std::int64_t stride = 0;
    for (const std::string& input : inputs) {
        extracts.push_back(read(input));
        stride = std::max(stride, extracts.back().last_id + 1);
    }
    osmium::io::Header header;
    header.set("generator", "geojepa-multiply");
    header.set("sorting", "Type_then_ID");
    osmium::io::Writer writer{output, header, osmium::io::overwrite::allow};
    for (const auto type : {osmium::item_type::node, osmium::item_type::way, osmium::item_type::relation}) {
        std::int64_t shift = 0;
        for (std::int64_t copy = 0; copy < copies; ++copy) {
            for (Extract& extract : extracts) {
                write_copy(writer, extract, type, shift, copy);
                shift += stride;
            }
        }
    }
    writer.close();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::int64_t copies = argc > 3 ? std::strtoll(argv[1], nullptr, 10) : 0;
        if (copies < 1 || copies > copies_per_turn) {
            std::cerr << "usage: geojepa-multiply COPIES OUTPUT INPUT..., 1 to 64 copies\n";
            return 2;
        }
        multiply(copies, argv[2], {argv + 3, argv + argc});
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
