// A target with planted mistakes, which shows that a replay detects them. The environment variable PLANTED selects one.
// It happens where the ninth byte is not the full stop of the seed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const char* variable = std::getenv("PLANTED");
    const std::string_view mistake = variable == nullptr ? "" : variable;
    if (size <= 8 || data[8] == '.') {
        return 0;
    }
    volatile int sink = 0;
    if (mistake == "overread") {
        sink = data[size];
    } else if (mistake == "overflow") {
        volatile int max = 2147483647;
        sink = max + 1;
    } else if (mistake == "throw") {
        throw std::runtime_error("thrown on purpose");
    }
    (void)sink;
    return 0;
}
