// Writes each event as one line under a lock, so that the lines of several threads do not mix.
#include "events.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace geojepa {
namespace {

constexpr std::chrono::milliseconds progress_interval{200};

void write_line(const JsonObject& event) {
    static std::mutex mutex;
    const std::string line = event.text() + "\n";
    const std::lock_guard lock{mutex};
    // A closed stderr does not stop the run.
    (void)std::fwrite(line.data(), 1, line.size(), stderr);
    (void)std::fflush(stderr);
}

/// Length of the UTF-8 sequence at the start of `text`, 0 where it is invalid.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    std::size_t length = 0;
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
    }
    if (length == 0 || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
    const bool out_of_range = (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF4 && byte(1) > 0x8F);
    return overlong || out_of_range ? 0 : length;
}

std::string json_list(const std::vector<std::string>& texts) {
    std::string json = "[";
    for (const std::string& text : texts) {
        if (&text != &texts.front()) {
            json += ',';
        }
        json += json_string(text);
    }
    json += ']';
    return json;
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string json = "\"";
    while (!text.empty()) {
        const auto byte = static_cast<unsigned char>(text.front());
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            json += "\xEF\xBF\xBD";
        } else if (byte == '"' || byte == '\\') {
            json += '\\';
            json += text.front();
        } else if (byte < 0x20) {
            char escape[8];
            (void)std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
            json += escape;
        } else {
            json += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return json + "\"";
}

JsonObject& JsonObject::add_json(std::string_view key, std::string_view json) {
    if (!members_.empty()) {
        members_ += ",";
    }
    members_ += json_string(key);
    members_ += ":";
    members_ += json;
    return *this;
}

JsonObject& JsonObject::add(std::string_view key, std::string_view value) {
    return add_json(key, json_string(value));
}

JsonObject& JsonObject::add(std::string_view key, std::uint64_t value) {
    return add_json(key, std::to_string(value));
}

JsonObject& JsonObject::add(std::string_view key, double value) {
    if (!std::isfinite(value)) {
        return add_json(key, "null");
    }
    char digits[32];
    const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
    return add_json(key, std::string_view{digits, static_cast<std::size_t>(end - digits)});
}

JsonObject& JsonObject::add(std::string_view key, const JsonObject& value) {
    return add_json(key, value.text());
}

Progress::Progress(std::string_view stage, std::uint64_t total) : stage_(stage), total_(total) {
    at(0);
}

void Progress::at(std::uint64_t done) {
    using clock = std::chrono::steady_clock;
    static std::atomic<clock::rep> next{0};
    const clock::rep now = clock::now().time_since_epoch().count();
    clock::rep due = next.load();
    const clock::rep step = std::chrono::duration_cast<clock::duration>(progress_interval).count();
    if (now >= due && next.compare_exchange_strong(due, now + step)) {
        write(done);
    }
}

void Progress::finish() {
    write(total_);
}

void Progress::write(std::uint64_t done) const {
    JsonObject event;
    event.add("event", "progress").add("stage", stage_).add("done", done).add("total", total_);
    write_line(event);
}

void write_warning(std::string_view message) {
    JsonObject event;
    event.add("event", "warning").add("message", message);
    write_line(event);
}

void write_error(std::string_view message, const Hint& hint) {
    JsonObject event;
    event.add("event", "error").add("message", message);
    if (!hint.options.empty()) {
        JsonObject options;
        for (const auto& [name, value] : hint.options) {
            options.add(name, value);
        }
        event.add("options", options);
    }
    if (!hint.command.empty()) {
        event.add_json("command", json_list(hint.command));
    }
    if (!hint.advice.empty()) {
        event.add("advice", hint.advice);
    }
    if (hint.no_space) {
        event.add_json("no_space", "true");
    }
    write_line(event);
}

void write_summary(const JsonObject& summary) {
    const std::string line = summary.text() + "\n";
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) {
        throw OutputError("cannot write the summary to stdout: " + std::string{std::strerror(errno)});
    }
}

}  // namespace geojepa
