// What the binary says: JSON lines on stderr while it works, one JSON object on stdout at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace geojepa {

/// A JSON object under construction. Keys stand in the order in which they were added.
class JsonObject {
public:
    JsonObject& add(std::string_view key, std::string_view value);
    JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view{value}); }
    JsonObject& add(std::string_view key, double value);
    JsonObject& add(std::string_view key, std::uint64_t value);
    JsonObject& add(std::string_view key, std::uint32_t value) { return add(key, std::uint64_t{value}); }
    JsonObject& add(std::string_view key, const JsonObject& value);
    /// Adds text that is JSON already.
    JsonObject& add_json(std::string_view key, std::string_view json);

    std::string text() const { return "{" + members_ + "}"; }

private:
    std::string members_;
};

/// `text` as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

/// Says how far a stage is. Writes at most five lines a second over all stages, and each stage's last one.
class Progress {
public:
    /// `total` may be 0 where it is not known.
    Progress(std::string_view stage, std::uint64_t total);
    void at(std::uint64_t done);
    /// The stage is over: writes `done` = `total`.
    void finish();

private:
    void write(std::uint64_t done) const;

    std::string stage_;
    std::uint64_t total_;
};

void write_warning(std::string_view message);
void write_error(std::string_view message, std::string_view hint);

/// Writes the summary to stdout. Throws OutputError where stdout cannot be written.
void write_summary(const JsonObject& summary);

}  // namespace geojepa
