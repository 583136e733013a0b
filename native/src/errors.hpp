// The errors of the native binary: a message, and a hint as data.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace geojepa {

/// A way to solve the problem behind an error. At most one of `options`, `command` and `advice` is set.
struct Hint {
    /// Options to add to the failed command, or to replace in it: names without dashes, and values.
    std::vector<std::pair<std::string, std::string>> options = {};
    /// Arguments of another program, whose name comes first. Not quoted for a shell.
    std::vector<std::string> command = {};
    std::string advice = {};
    /// Whether the disk is full.
    bool no_space = false;
};

/// For inputs that are too large: the user replaces the words by degrees.
inline const Hint smaller_area{.options = {{"bbox", "WEST,SOUTH,EAST,NORTH"}}};

/// Base of all errors that are reported as an `error` event. Exit code 1, or 2 for UsageError.
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message, Hint hint = {}) : std::runtime_error(message), hint_(std::move(hint)) {}

    const Hint& hint() const noexcept { return hint_; }

private:
    Hint hint_;
};

/// The input cannot be read or holds no usable data.
class InputError : public Error {
    using Error::Error;
};

/// The output cannot be written. The message contains the system's reason.
class OutputError : public Error {
    using Error::Error;
};

/// The layout of a file differs from native/schema.yaml.
class SchemaError : public Error {
    using Error::Error;
};

/// An option has an invalid value. Exit code 2.
class UsageError : public Error {
    using Error::Error;
};

}  // namespace geojepa
