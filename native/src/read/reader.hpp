// OSM extracts as batches of plain records. Only this unit and the assembler include libosmium.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "clip/grid.hpp"
#include "columns/schema.hpp"
#include "read/tags.hpp"

namespace geojepa {

struct Member {
    schema::OsmType type;
    std::int64_t ref;
    std::string_view role;
};

/// What every element has. `first_*` and `last_*` are ranges of the batch's arrays.
struct Element {
    std::int64_t id;
    std::uint32_t version;
    /// Counts the elements of this type over all inputs, from 0.
    std::uint64_t sequence;
    bool deleted;
    /// Nodes only: whether the position lies on the globe.
    bool located;
    Position position;
    std::size_t first_tag, last_tag;
    std::size_t first_ref, last_ref;  // a way's node ids, or a relation's members
};

/// Elements of one type out of a batch. Text points into the batch.
struct Elements {
    std::vector<Element> rows;
    std::vector<Tag> tags;
    std::vector<std::int64_t> refs;
    std::vector<Member> members;

    std::vector<Tag> tags_of(const Element& element) const {
        return {tags.begin() + static_cast<std::ptrdiff_t>(element.first_tag),
                tags.begin() + static_cast<std::ptrdiff_t>(element.last_tag)};
    }
    std::span<const std::int64_t> refs_of(const Element& element) const {
        return std::span{refs}.subspan(element.first_ref, element.last_ref - element.first_ref);
    }
    std::span<const Member> members_of(const Element& element) const {
        return std::span{members}.subspan(element.first_ref, element.last_ref - element.first_ref);
    }
};

/// What an element is without its tags and references.
struct Outline {
    std::int64_t id;
    std::uint64_t sequence;
    std::uint32_t version;
    /// Nodes only.
    Position position;
    bool located;
    bool deleted;
};

/// Some elements of the input, still in the reader's form. Cheap to move; unpacking may be left to a worker.
class Batch {
public:
    struct State;
    explicit Batch(std::shared_ptr<const State> state);

    std::size_t nodes() const noexcept;
    std::size_t ways() const noexcept;
    Elements unpack(schema::OsmType type) const;
    /// The same elements in short, into `out`, whose memory is used again.
    void outline(schema::OsmType type, std::vector<Outline>& out) const;

private:
    std::shared_ptr<const State> state_;
};

struct ElementTypes {
    bool nodes = false;
    bool ways = false;
    bool relations = false;
};

/// Reads the inputs from start to end, one after the other. Throws InputError where one cannot be read, and says
/// what it looks like.
class Reader {
public:
    Reader(std::vector<std::string> inputs, ElementTypes types);
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// The next batch; one without a state where there is none left.
    bool next(Batch& batch);

    /// Bytes read so far, and in all.
    std::uint64_t offset() const;
    std::uint64_t size() const;

private:
    struct Inputs;
    std::unique_ptr<Inputs> inputs_;
};

/// How many threads decode, and how much they may decode ahead. To be called before the first reader is made.
void set_up_reading(std::uint32_t threads);

/// Throws InputError where a file is not there or is plainly no OSM extract, before any long work starts.
void check_input(const std::string& path);

}  // namespace geojepa
