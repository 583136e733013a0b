// The output of the binary: JSON lines on stderr while it runs, one JSON object on stdout at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "errors.hpp"

namespace geojepa {

/// Builds a JSON object. Keys keep the order in which they are added.
class JsonObject {
public:
    JsonObject& add(std::string_view key, std::string_view value);
    JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view{value}); }
    JsonObject& add(std::string_view key, double value);
    JsonObject& add(std::string_view key, std::uint64_t value);
    JsonObject& add(std::string_view key, std::uint32_t value) { return add(key, std::uint64_t{value}); }
    JsonObject& add(std::string_view key, const JsonObject& value);
    /// Adds text that already is JSON.
    JsonObject& add_json(std::string_view key, std::string_view json);

    std::string text() const { return "{" + members_ + "}"; }

private:
    std::string members_;
};

/// `text` as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

/// Reports the progress of a stage: at most five lines a second over all stages, and always the last one of a stage.
class Progress {
public:
    /// `total` may be 0 where it is unknown.
    Progress(std::string_view stage, std::uint64_t total);
    void at(std::uint64_t done);
    /// Ends the stage: writes `done` = `total`.
    void finish();

private:
    void write(std::uint64_t done) const;

    std::string stage_;
    std::uint64_t total_;
};

void write_warning(std::string_view message);
/// Writes an `error` event: `message`, and what the hint contains of `options` (an object), `command` (a list),
/// `advice` (a text) and `no_space` (true).
void write_error(std::string_view message, const Hint& hint);

/// Writes the summary to stdout. Throws OutputError where that fails.
void write_summary(const JsonObject& summary);

}  // namespace geojepa
