// Expat's callbacks, none of which lets an exception through the C code between them and `parse`.
#include "read/xml_parser.hpp"

#include <expat.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

#include "read/input_format.hpp"

namespace geojepa {
namespace {

constexpr std::size_t slice_bytes = std::size_t{256} << 10U;
constexpr std::size_t most_token_bytes = std::size_t{1} << 20U;
constexpr std::size_t most_memory_bytes = std::size_t{16} << 20U;
constexpr int most_depth = 16;

/// What expat has allocated on this thread. Its allocator is given no context, and each document has one thread.
thread_local std::size_t allocated = 0;

/// In front of each block, as large as the strictest alignment.
union BlockHeader {
    std::size_t bytes;
    std::max_align_t alignment;
};

void* reallocate(void* block, std::size_t bytes) {
    BlockHeader* header = block == nullptr ? nullptr : static_cast<BlockHeader*>(block) - 1;
    const std::size_t old = header == nullptr ? 0 : header->bytes;
    if (bytes > most_memory_bytes || allocated - old + bytes > most_memory_bytes) {
        return nullptr;
    }
    auto* grown = static_cast<BlockHeader*>(std::realloc(header, sizeof(BlockHeader) + bytes));
    if (grown == nullptr) {
        return nullptr;
    }
    allocated += bytes - old;
    grown->bytes = bytes;
    return grown + 1;
}

void* allocate(std::size_t bytes) {
    return reallocate(nullptr, bytes);
}

void release(void* block) {
    if (block != nullptr) {
        BlockHeader* header = static_cast<BlockHeader*>(block) - 1;
        allocated -= header->bytes;
        std::free(header);
    }
}

constexpr XML_Memory_Handling_Suite bounded_memory{allocate, reallocate, release};

bool ends_early(XML_Error code) {
    return code == XML_ERROR_NO_ELEMENTS || code == XML_ERROR_UNCLOSED_TOKEN || code == XML_ERROR_PARTIAL_CHAR ||
           code == XML_ERROR_UNCLOSED_CDATA_SECTION;
}

}  // namespace

struct XmlParser::State {
    explicit State(XmlHandler& receiver)
        : handler(&receiver), expat(XML_ParserCreate_MM(nullptr, &bounded_memory, nullptr)) {
        if (expat == nullptr) {
            throw std::bad_alloc{};
        }
        XML_SetUserData(expat, this);
        XML_SetElementHandler(expat, on_start, on_end);
        XML_SetCharacterDataHandler(expat, on_text);
        XML_SetCommentHandler(expat, on_comment);
        XML_SetProcessingInstructionHandler(expat, on_instruction);
        XML_SetStartDoctypeDeclHandler(expat, on_doctype);
    }
    ~State() { XML_ParserFree(expat); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    /// Runs the handler, unless it failed before; keeps what it throws.
    template <typename Call>
    void guard(const Call& call) noexcept {
        token_bytes = 0;
        if (failure) {
            return;
        }
        try {
            call();
        } catch (...) {
            failure = std::current_exception();
            (void)XML_StopParser(expat, XML_FALSE);
        }
    }

    std::string place() const { return "line " + std::to_string(XML_GetCurrentLineNumber(expat)) + ": "; }

    static State& of(void* data) { return *static_cast<State*>(data); }
    static void on_start(void* data, const char* name, const char** attributes) {
        of(data).guard([&] {
            if (++of(data).depth > most_depth) {
                throw ReadError(of(data).place() + "elements are nested more than " + std::to_string(most_depth) +
                                " deep, which no OSM file needs");
            }
            of(data).handler->start(name, attributes);
        });
    }
    static void on_end(void* data, const char* /*name*/) {
        of(data).guard([&] {
            --of(data).depth;
            of(data).handler->end();
        });
    }
    static void on_text(void* data, const char* text, int length) {
        of(data).guard([&] { of(data).handler->text({text, static_cast<std::size_t>(length)}); });
    }
    static void on_comment(void* data, const char* /*text*/) { of(data).token_bytes = 0; }
    static void on_instruction(void* data, const char* /*target*/, const char* /*text*/) { of(data).token_bytes = 0; }
    static void on_doctype(void* data, const char* /*name*/, const char* system, const char* publicly, int subset) {
        of(data).guard([&] {
            if (system != nullptr || publicly != nullptr || subset != 0) {
                throw ReadError(of(data).place() +
                                "it declares XML entities or a DTD, which no OSM file needs: it is not read");
            }
        });
    }

    [[noreturn]] void fail() const {
        if (failure) {
            std::rethrow_exception(failure);
        }
        const XML_Error code = XML_GetErrorCode(expat);
        if (code == XML_ERROR_NO_MEMORY) {
            throw ReadError(place() + "its names and tags take more than " + std::to_string(most_memory_bytes >> 20U) +
                            " MiB, which no OSM file needs");
        }
        if (ends_early(code)) {
            throw DamageError("it ends at line " + std::to_string(XML_GetCurrentLineNumber(expat)) +
                              ", before the end of its XML");
        }
        throw ReadError(place() + "it is not well-formed XML (" + XML_ErrorString(code) + ")");
    }

    XmlHandler* handler;
    XML_Parser expat;
    std::exception_ptr failure;
    /// Bytes that were fed since expat last found a whole tag, text or comment.
    std::size_t token_bytes = 0;
    int depth = 0;
};

XmlParser::XmlParser(XmlHandler& handler) : state_(std::make_unique<State>(handler)) {}

XmlParser::~XmlParser() = default;

void XmlParser::parse(std::string_view bytes, bool last) {
    do {
        const std::string_view slice = bytes.substr(0, slice_bytes);
        bytes.remove_prefix(slice.size());
        const bool last_slice = last && bytes.empty();
        state_->token_bytes += slice.size();
        if (XML_Parse(state_->expat, slice.data(), static_cast<int>(slice.size()), last_slice ? 1 : 0) !=
            XML_STATUS_OK) {
            state_->fail();
        }
        if (state_->token_bytes > most_token_bytes) {
            throw ReadError(state_->place() + "a tag, value or comment is longer than " +
                            std::to_string(most_token_bytes >> 20U) + " MiB, which no OSM file needs");
        }
    } while (!bytes.empty());
}

std::uint64_t XmlParser::position() const {
    return static_cast<std::uint64_t>(XML_GetCurrentByteIndex(state_->expat));
}

std::uint64_t XmlParser::line() const {
    return XML_GetCurrentLineNumber(state_->expat);
}

}  // namespace geojepa
