// A target with mistakes on purpose, to show that a replay would notice: the environment's PLANTED says which. It makes
// one where the ninth byte is not the full stop that the seed has there. PLANTED=list prints the inputs instead.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace {

void list(const std::uint8_t* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        std::printf("%02x", data[i]);
    }
    std::puts("");
}

void fail(std::string_view mistake, const std::uint8_t* data, std::size_t size) {
    volatile int sink = 0;
    if (mistake == "overread") {
        sink = data[size];
    } else if (mistake == "overflow") {
        volatile int most = 2147483647;
        sink = most + 1;
    } else if (mistake == "abort") {
        std::abort();
    } else if (mistake == "throw") {
        throw std::runtime_error("thrown on purpose");
    }
    (void)sink;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const char* mistake = std::getenv("PLANTED");
    if (mistake != nullptr && std::string_view{mistake} == "list") {
        list(data, size);
    } else if (mistake != nullptr && size > 8 && data[8] != '.') {
        fail(mistake, data, size);
    }
    return 0;
}
