// XML as a row of elements, read within bounds.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>

namespace geojepa {

/// Receives the elements of a document.
class XmlHandler {
public:
    XmlHandler() = default;
    virtual ~XmlHandler() = default;
    XmlHandler(const XmlHandler&) = delete;
    XmlHandler& operator=(const XmlHandler&) = delete;

    /// `attributes` are pairs of name and value, then a null pointer. They are valid during the call only.
    virtual void start(const char* name, const char* const* attributes) = 0;
    virtual void end() = 0;
    /// A piece of the text between two tags.
    virtual void text(std::string_view piece) = 0;
};

/// Expat, fed piece by piece. What a hostile document could use to fill memory or time is refused:
/// a tag, comment or value of more than 1 MiB; elements nested more than 16 deep; entities and external definitions;
/// and more than 16 MiB of names and tags that expat has to keep.
class XmlParser {
public:
    explicit XmlParser(XmlHandler& handler);
    ~XmlParser();
    XmlParser(const XmlParser&) = delete;
    XmlParser& operator=(const XmlParser&) = delete;

    /// Throws DamageError where the document ends early, ReadError where it is refused or not well-formed, and whatever
    /// the handler throws. After that it must not be called again.
    void parse(std::string_view bytes, bool last);

    /// Bytes of the document up to the current element.
    std::uint64_t position() const;
    /// The line of the current element, from 1.
    std::uint64_t line() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace geojepa
