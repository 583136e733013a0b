// OSM extracts as batches of plain records. Only src/read includes libosmium.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "clip/grid.hpp"
#include "columns/schema.hpp"
#include "read/tags.hpp"

namespace geojepa {

/// Stands for a position that is not in the input; it lies off the globe.
inline constexpr Position nowhere{std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::max()};

struct Member {
    schema::OsmType type;
    std::int64_t ref;
    std::string_view role;
};

/// The positions of a node or way that came with a relation's member: Overpass's `out geom`.
struct MemberShape {
    schema::OsmType type;
    std::int64_t ref;
    std::size_t first_position, last_position;
};

/// An element without its tags and references, which are ranges of the batch's arrays.
struct Element {
    std::int64_t id;
    std::uint32_t version;
    /// Counts the elements of this type over all inputs, from 0.
    std::uint64_t sequence;
    bool deleted;
    /// Nodes only: whether the position lies on the globe.
    bool located;
    /// Ways and relations only: whether the input gives a centre, as Overpass's `out center` does.
    bool centred;
    Position position;
    std::size_t first_tag, last_tag;
    std::size_t first_ref, last_ref;  // a way's node ids, or a relation's members
};

/// The elements of one type in a batch. Texts point into the batch.
struct Elements {
    std::vector<Element> rows;
    /// Without repetitions: a key and value that an element has twice are there once.
    std::vector<Tag> tags;
    std::vector<std::int64_t> refs;
    /// Positions next to `refs`, `nowhere` where a reference has none; empty where no way of the batch has positions.
    std::vector<Position> ref_positions;
    std::vector<Member> members;
    std::vector<MemberShape> member_shapes;
    std::vector<Position> member_positions;

    std::vector<Tag> tags_of(const Element& element) const {
        return {tags.begin() + static_cast<std::ptrdiff_t>(element.first_tag),
                tags.begin() + static_cast<std::ptrdiff_t>(element.last_tag)};
    }
    std::span<const std::int64_t> refs_of(const Element& element) const {
        return std::span{refs}.subspan(element.first_ref, element.last_ref - element.first_ref);
    }
    std::span<const Position> ref_positions_of(const Element& element) const {
        return ref_positions.empty()
                   ? std::span<const Position>{}
                   : std::span{ref_positions}.subspan(element.first_ref, element.last_ref - element.first_ref);
    }
    std::span<const Member> members_of(const Element& element) const {
        return std::span{members}.subspan(element.first_ref, element.last_ref - element.first_ref);
    }
    std::span<const Position> positions_of(const MemberShape& shape) const {
        return std::span{member_positions}.subspan(shape.first_position, shape.last_position - shape.first_position);
    }
};

/// An element without its tags and references.
struct ElementHeader {
    std::int64_t id;
    std::uint64_t sequence;
    std::uint32_t version;
    /// Nodes only.
    Position position;
    bool located;
    bool deleted;
};

/// One of several copies of an element, and the completeness of it.
struct Copy {
    std::int64_t id;
    std::uint64_t sequence;
    std::uint32_t version;
    bool deleted;
    bool tagged;
    /// Whether it is a node on the globe, or has references or members.
    bool placed;
    /// Nodes only.
    Position position;
};

/// Some elements of the input, still in the reader's form. Cheap to move; unpacking may be left to a worker.
class Batch {
public:
    struct State;
    explicit Batch(std::shared_ptr<const State> state);

    std::size_t nodes() const noexcept;
    std::size_t ways() const noexcept;
    /// Whether a way of the batch has the position of one of its nodes.
    bool has_way_positions() const noexcept;
    Elements unpack(schema::OsmType type) const;
    /// Writes the headers of nodes or ways to `out`, whose memory is used again.
    void headers(schema::OsmType type, std::vector<ElementHeader>& out) const;
    /// The same for copies.
    void copies(schema::OsmType type, std::vector<Copy>& out) const;

private:
    std::shared_ptr<const State> state_;
};

/// Ids of ways and relations that came with a centre, sorted.
struct CentredIds {
    std::vector<std::int64_t> ways;
    std::vector<std::int64_t> relations;
};

/// Findings about the inputs that are not elements.
struct InputNotes {
    /// Texts of `<remark>`: the server ran out of time or memory, so objects may be missing.
    std::vector<std::string> remarks;
    /// Whether the last XML file was written by Overpass.
    bool overpass = false;
    std::uint64_t changesets = 0;
    /// Overpass's `<area>`, which has no geometry.
    std::uint64_t overpass_areas = 0;
};

struct ElementTypes {
    bool nodes = false;
    bool ways = false;
    bool relations = false;
};

/// Reads the inputs from start to end, one after the other. Throws InputError where one cannot be read; the message
/// names the file and the reason.
class Reader {
public:
    Reader(std::vector<std::string> inputs, ElementTypes types);
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// Puts the next elements into `batch`; returns false at the end of the inputs.
    bool next(Batch& batch);

    /// Bytes read so far, and of all inputs.
    std::uint64_t offset() const;
    std::uint64_t size() const;

    /// Complete after the last batch.
    const InputNotes& notes() const;

private:
    struct Inputs;
    std::unique_ptr<Inputs> inputs_;
};

/// Sets the number of decoding threads, and how far they decode ahead. Must be called before the first reader is made.
void set_up_reading(std::uint32_t threads);

/// Throws InputError where a file does not exist or is not an OSM extract, before any long work starts.
void check_input(const std::string& path);

/// Version of libosmium, for `--version`.
std::string libosmium_version();

}  // namespace geojepa
