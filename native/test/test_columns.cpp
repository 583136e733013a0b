// Columns written and read back, and files that are invalid.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "columns/column_reader.hpp"
#include "columns/column_writer.hpp"
#include "errors.hpp"

using namespace geojepa;

namespace {

/// A temporary path. The file is removed at the end of the test.
struct TemporaryFile {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("geojepa-columns-" + std::to_string(::getpid()) + "-" + std::to_string(next++)))
                           .string();
    TemporaryFile() = default;
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::filesystem::remove(path); }
    static inline int next = 0;
};

void write_example(const std::string& path) {
    ColumnWriter writer{path};
    writer.set_attribute("schema_version", 7U);
    writer.set_attribute("kind", std::string{"tiles"});
    writer.write(schema::object_osm_id, std::vector<std::int64_t>{-1, 5, 1LL << 40});
    writer.write(schema::node_lonlat, std::vector<std::int32_t>{1, 2, 3, 4});
    writer.write(schema::member_object, std::vector<std::uint32_t>{});
    ColumnStream stream{writer, schema::tile_pieces, 200000};
    for (std::uint64_t i = 0; i < 200000; ++i) {
        stream.push(i * i);
    }
    stream.flush();
    writer.close();
}

std::string bytes_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

}  // namespace

TEST_CASE("columns and attributes are read as they were written, also empty ones") {
    const TemporaryFile file;
    write_example(file.path);
    const ColumnReader reader{file.path};
    CHECK(reader.u32_attribute("schema_version") == 7);
    CHECK(reader.string_attribute("kind") == "tiles");
    CHECK(reader.read(schema::object_osm_id) == std::vector<std::int64_t>{-1, 5, 1LL << 40});
    CHECK(reader.rows(schema::node_lonlat) == 2);
    CHECK(reader.read(schema::node_lonlat, 1, 2) == std::vector<std::int32_t>{3, 4});
    CHECK(reader.read(schema::member_object).empty());
    CHECK(reader.read(schema::tile_pieces, 199999, 200000) == std::vector<std::uint64_t>{199999ULL * 199999ULL});
    CHECK(reader.has("object/osm_id"));
    CHECK_FALSE(reader.has("object/tags"));
    CHECK_FALSE(reader.has("nothing/there"));
}

TEST_CASE("the same columns give the same bytes") {
    const TemporaryFile one;
    const TemporaryFile two;
    write_example(one.path);
    write_example(two.path);
    CHECK(bytes_of(one.path) == bytes_of(two.path));
}

TEST_CASE("missing columns, wrong types, wrong widths and missing rows are schema errors") {
    const TemporaryFile file;
    write_example(file.path);
    const ColumnReader reader{file.path};
    CHECK_THROWS_AS((void)reader.read(schema::object_tags), SchemaError);
    CHECK_THROWS_AS((void)reader.read(schema::Column<std::uint64_t>{"object/osm_id", 1}), SchemaError);
    CHECK_THROWS_AS((void)reader.read(schema::Column<std::int32_t>{"node/lonlat", 1}), SchemaError);
    CHECK_THROWS_AS((void)reader.read(schema::node_lonlat, 1, 3), SchemaError);
    CHECK_THROWS_AS((void)reader.u32_attribute("zoom"), SchemaError);
    CHECK_THROWS_AS((void)reader.u32_attribute("kind"), SchemaError);
    CHECK_THROWS_AS((void)reader.string_attribute("schema_version"), SchemaError);
}

TEST_CASE("a file that is not HDF5 cannot be opened, and a file without a folder cannot be created") {
    const TemporaryFile file;
    std::ofstream{file.path} << "no columns here";
    CHECK_THROWS_AS(ColumnReader{file.path}, InputError);
    CHECK_THROWS_AS(ColumnReader{file.path + ".absent"}, InputError);
    CHECK_THROWS_AS(ColumnWriter{file.path + "/below/a/file"}, OutputError);
}

TEST_CASE("a file that was not closed is removed, also behind a symbolic link, and the link stays") {
    const TemporaryFile file;
    const TemporaryFile link;
    std::filesystem::create_symlink(file.path, link.path);
    for (const std::string& path : {file.path, link.path}) {
        {
            ColumnWriter writer{path};
            writer.set_attribute("kind", std::string{"tiles"});
            CHECK(std::filesystem::exists(file.path));
        }
        CHECK_FALSE(std::filesystem::exists(file.path));
    }
    CHECK(std::filesystem::is_symlink(link.path));
    write_example(link.path);
    CHECK(std::filesystem::exists(file.path));
}
