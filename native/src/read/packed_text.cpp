// gzip by zlib's file functions, which read several members as one; bzip2 stream by stream.
#include "read/packed_text.hpp"

#include <bzlib.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace geojepa {
namespace {

constexpr std::size_t piece_bytes = std::size_t{1} << 20U;
constexpr std::uint64_t free_bytes = std::uint64_t{64} << 20U;
constexpr std::uint64_t most_times = 100;

/// A file that closes itself.
class File {
public:
    explicit File(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (number_ < 0) {
            throw ReadError(std::strerror(errno));
        }
    }
    ~File() { (void)::close(number_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    /// Fewer bytes than asked for only at the end.
    std::size_t read(char* bytes, std::size_t size) {
        std::size_t done = 0;
        while (done < size) {
            const ssize_t got = ::read(number_, bytes + done, size - done);
            if (got < 0 && errno != EINTR) {
                throw ReadError(std::strerror(errno));
            }
            if (got == 0) {
                break;
            }
            done += got > 0 ? static_cast<std::size_t>(got) : 0;
        }
        offset_ += done;
        return done;
    }
    std::uint64_t offset() const noexcept { return offset_; }

private:
    int number_;
    std::uint64_t offset_ = 0;
};

}  // namespace

class PackedText::Unpacker {
public:
    Unpacker() = default;
    virtual ~Unpacker() = default;
    Unpacker(const Unpacker&) = delete;
    Unpacker& operator=(const Unpacker&) = delete;

    /// Fills `bytes`; fewer than `size` only at the end.
    virtual std::size_t read(char* bytes, std::size_t size) = 0;
    /// Bytes of the file that were used.
    virtual std::uint64_t offset() const = 0;
};

namespace {

class Plain final : public PackedText::Unpacker {
public:
    explicit Plain(const std::string& path) : file_(path) {}

    std::size_t read(char* bytes, std::size_t size) override { return file_.read(bytes, size); }
    std::uint64_t offset() const override { return file_.offset(); }

private:
    File file_;
};

/// A file inflated by zlib: gzip members, one after the other. What follows the last one is ignored, as gzip does.
class Gzip final : public PackedText::Unpacker {
public:
    explicit Gzip(const std::string& path) : file_(path) {
        if (::inflateInit2(&stream_, 15 + 16) != Z_OK) {  // the largest window; gzip's header
            throw std::bad_alloc{};
        }
    }
    ~Gzip() override { (void)::inflateEnd(&stream_); }
    Gzip(const Gzip&) = delete;
    Gzip& operator=(const Gzip&) = delete;

    std::size_t read(char* bytes, std::size_t size) override {
        stream_.next_out = reinterpret_cast<Bytef*>(bytes);
        stream_.avail_out = static_cast<uInt>(size);
        while (stream_.avail_out > 0 && (stream_.avail_in > 0 || fill())) {
            if (between_members_) {
                if (stream_.avail_in < 2 || stream_.next_in[0] != 0x1f || stream_.next_in[1] != 0x8b) {
                    break;
                }
                (void)::inflateReset(&stream_);
                between_members_ = false;
            }
            const int result = ::inflate(&stream_, Z_NO_FLUSH);
            if (result == Z_STREAM_END) {
                between_members_ = true;
                keep_rest();
            } else if (result != Z_OK && result != Z_BUF_ERROR) {
                throw DamageError(std::string{"gzip cannot unpack it: "} +
                                  (stream_.msg != nullptr ? stream_.msg : ::zError(result)));
            }
        }
        if (stream_.avail_out > 0 && !between_members_) {
            throw DamageError("it ends inside its gzip stream");
        }
        return size - stream_.avail_out;
    }
    std::uint64_t offset() const override { return file_.offset() - stream_.avail_in; }

private:
    bool fill() {
        stream_.next_in = packed_.data();
        stream_.avail_in = static_cast<uInt>(file_.read(reinterpret_cast<char*>(packed_.data()), packed_.size()));
        return stream_.avail_in > 0;
    }
    /// Makes room so that both bytes of the next member's mark are there.
    void keep_rest() {
        if (stream_.avail_in == 1) {
            packed_[0] = *stream_.next_in;
            const std::size_t more = file_.read(reinterpret_cast<char*>(packed_.data()) + 1, packed_.size() - 1);
            stream_.next_in = packed_.data();
            stream_.avail_in = static_cast<uInt>(more + 1);
        }
    }

    File file_;
    z_stream stream_{};
    std::array<Bytef, std::size_t{64} << 10U> packed_{};
    bool between_members_ = false;
};

/// bzip2 streams, one after the other: parallel packers write many.
class Bzip2 final : public PackedText::Unpacker {
public:
    explicit Bzip2(const std::string& path) : file_(path) { start(); }
    ~Bzip2() override { (void)::BZ2_bzDecompressEnd(&stream_); }
    Bzip2(const Bzip2&) = delete;
    Bzip2& operator=(const Bzip2&) = delete;

    std::size_t read(char* bytes, std::size_t size) override {
        stream_.next_out = bytes;
        stream_.avail_out = static_cast<unsigned>(size);
        while (stream_.avail_out > 0 && (stream_.avail_in > 0 || fill())) {
            if (between_streams_) {
                (void)::BZ2_bzDecompressEnd(&stream_);
                start();
            }
            const int result = ::BZ2_bzDecompress(&stream_);
            if (result == BZ_STREAM_END) {
                between_streams_ = true;
                whole_streams_ = true;
            } else if (result == BZ_DATA_ERROR_MAGIC && whole_streams_) {
                between_streams_ = true;  // what follows the last stream is ignored, as bzip2 does
                break;
            } else if (result != BZ_OK) {
                throw DamageError("bzip2 cannot unpack it");
            }
        }
        if (stream_.avail_out > 0 && !between_streams_) {
            throw DamageError("it ends inside its bzip2 stream");
        }
        return size - stream_.avail_out;
    }
    std::uint64_t offset() const override { return file_.offset() - stream_.avail_in; }

private:
    void start() {
        if (::BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) {
            throw std::bad_alloc{};
        }
        between_streams_ = false;
    }
    bool fill() {
        stream_.next_in = packed_.data();
        stream_.avail_in = static_cast<unsigned>(file_.read(packed_.data(), packed_.size()));
        return stream_.avail_in > 0;
    }

    File file_;
    bz_stream stream_{};
    std::array<char, std::size_t{64} << 10U> packed_{};
    bool between_streams_ = false;
    bool whole_streams_ = false;
};

std::unique_ptr<PackedText::Unpacker> make_unpacker(const std::string& path, InputFormat format) {
    switch (format) {
        case InputFormat::xml_gzip:
            return std::make_unique<Gzip>(path);
        case InputFormat::xml_bzip2:
            return std::make_unique<Bzip2>(path);
        default:
            return std::make_unique<Plain>(path);
    }
}

}  // namespace

PackedText::PackedText(const std::string& path, InputFormat format)
    : unpacker_(make_unpacker(path, format)),
      packed_(format != InputFormat::xml),
      hint_{.command = {format == InputFormat::xml_gzip ? "gunzip" : "bunzip2", "--keep", path}} {}

PackedText::~PackedText() = default;

PackedText::Piece PackedText::unpack() const {
    Piece piece;
    piece.bytes.resize(piece_bytes);
    piece.bytes.resize(unpacker_->read(piece.bytes.data(), piece.bytes.size()));
    piece.offset = unpacker_->offset();
    return piece;
}

std::string PackedText::next() {
    Piece piece = ahead_.valid() ? ahead_.get() : unpack();
    offset_ = piece.offset;
    unpacked_ += piece.bytes.size();
    if (packed_ && unpacked_ > free_bytes && unpacked_ > most_times * offset_) {
        throw ReadError("it unpacks to more than " + std::to_string(most_times) +
                            " times its size: " + std::to_string(unpacked_ >> 20U) + " MiB out of the first " +
                            std::to_string(offset_) + " bytes",
                        hint_);
    }
    if (packed_ && piece.bytes.size() == piece_bytes) {
        ahead_ = std::async(std::launch::async, [this] { return unpack(); });
    }
    return std::move(piece.bytes);
}

}  // namespace geojepa
