// Buffered by stdio.
#include "columns/column_spool.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "errors.hpp"

namespace geojepa {
namespace {

[[noreturn]] void fail(const std::string& path) {
    const int reason = errno;
    throw OutputError("cannot write a temporary file next to `" + path + "`: " + std::strerror(reason),
                      {.advice = "free space of about half the size of the output", .no_space = reason == ENOSPC});
}

}  // namespace

Spool::Spool(const std::string& output) : path_{output} {
    std::string name = output + ".spool-XXXXXX";
    const int descriptor = ::mkstemp(name.data());
    if (descriptor < 0) {
        fail(path_);
    }
    (void)::unlink(name.c_str());
    file_.reset(::fdopen(descriptor, "w+b"));
    if (!file_) {
        (void)::close(descriptor);
        fail(path_);
    }
}

void Spool::append(const void* bytes, std::size_t count) {
    if (count > 0 && std::fwrite(bytes, 1, count, file_.get()) != count) {
        fail(path_);
    }
}

void Spool::rewind() {
    if (std::fflush(file_.get()) != 0 || std::fseek(file_.get(), 0, SEEK_SET) != 0) {
        fail(path_);
    }
}

void Spool::read(void* bytes, std::size_t count) {
    if (count > 0 && std::fread(bytes, 1, count, file_.get()) != count) {
        fail(path_);
    }
}

}  // namespace geojepa
