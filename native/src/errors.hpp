// The errors of the native binary: a message and a hint.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace geojepa {

/// Base of all errors that are reported as an `error` event. Exit code 1, or 2 for UsageError.
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}

    const std::string& hint() const noexcept { return hint_; }

private:
    std::string hint_;
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
