// A small map in a temporary file, and what the reader finds in it.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "read/reader.hpp"

namespace geojepa {

struct MapFile {
    std::string path;

    MapFile(std::string_view suffix, std::string_view text)
        : path((std::filesystem::temp_directory_path() / ("geojepa-map-" + std::to_string(::getpid()))).string() +
               std::string{suffix}) {
        std::ofstream{path, std::ios::binary} << text;
    }
    MapFile(const MapFile&) = delete;
    MapFile& operator=(const MapFile&) = delete;
    ~MapFile() { std::filesystem::remove(path); }
};

/// Elements with the batch that owns their text.
struct FirstBatch : Elements {
    Batch batch{nullptr};
};

inline FirstBatch read_first_batch(const std::string& path, schema::OsmType type) {
    Reader reader{{path}, {.nodes = true, .ways = true, .relations = true}};
    Batch batch{nullptr};
    REQUIRE(reader.next(batch));
    return {batch.unpack(type), batch};
}

/// Message and hint of the error that reading ends with; both empty where it ends well.
inline std::pair<std::string, Hint> error_of(const std::string& path) {
    try {
        check_input(path);
        Reader reader{{path}, {.nodes = true, .ways = true, .relations = true}};
        Batch batch{nullptr};
        while (reader.next(batch)) {
        }
    } catch (const InputError& error) {
        return {error.what(), error.hint()};
    }
    return {};
}

}  // namespace geojepa
