// The bytes of a file that may be packed by gzip or bzip2.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include "read/input_format.hpp"

namespace geojepa {

/// Unpacks a file piece by piece; the next piece is unpacked by another thread while the last one is used.
///
/// A packed file may unpack to 64 MiB, and beyond that to at most 100 times its size: OSM XML reaches 10 to 30 times,
/// and a file that expands further is made to fill memory or time.
class PackedText {
public:
    /// Throws ReadError where the file cannot be opened.
    PackedText(const std::string& path, InputFormat format);
    ~PackedText();
    PackedText(const PackedText&) = delete;
    PackedText& operator=(const PackedText&) = delete;

    /// The next piece, at most 1 MiB; empty at the end. Throws DamageError where the bytes do not unpack, and ReadError
    /// where they unpack to too much or the system cannot read them.
    std::string next();

    /// Bytes of the file that were read.
    std::uint64_t offset() const noexcept { return offset_; }

    /// One of the forms of a file.
    class Unpacker;

private:
    struct Piece {
        std::string bytes;
        std::uint64_t offset = 0;
    };

    Piece unpack() const;

    std::unique_ptr<Unpacker> unpacker_;
    bool packed_;
    Hint hint_;
    std::future<Piece> ahead_;
    std::uint64_t offset_ = 0;
    std::uint64_t unpacked_ = 0;
};

}  // namespace geojepa
