// The errors of the native binary: what went wrong, and what to do about it.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace geojepa {

/// Base of all errors that become an `error` event. Exit code 1, or 2 for UsageError.
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}

    const std::string& hint() const noexcept { return hint_; }

private:
    std::string hint_;
};

/// The input cannot be read, or holds nothing to work with.
class InputError : public Error {
    using Error::Error;
};

/// The output cannot be written; the message holds the system's reason.
class OutputError : public Error {
    using Error::Error;
};

/// A file has another layout than native/schema.yaml says.
class SchemaError : public Error {
    using Error::Error;
};

/// An option has a value that makes no sense. Exit code 2.
class UsageError : public Error {
    using Error::Error;
};

}  // namespace geojepa
