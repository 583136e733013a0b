// Runs in a file, and the disk space that reading them frees.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "columns/spill_file.hpp"

using namespace geojepa;

namespace {

/// Disk space of the spill file of this process, which has no name.
std::uint64_t bytes_on_disk() {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;
        const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
        struct stat status {};
        if (target.find(".geojepa-spill-") != std::string::npos && ::stat(entry.path().c_str(), &status) == 0) {
            bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
        }
    }
    return bytes;
}

/// Adds a run of `records` records of 1 KiB, which begin with their number.
void add_run(SpillFile& file, std::uint32_t first, std::uint32_t records) {
    std::vector<std::byte> record(1024, std::byte{7});
    for (std::uint32_t number = first; number < first + records; ++number) {
        std::memcpy(record.data(), &number, sizeof(number));
        file.add(record);
    }
    file.end_run();
}

std::uint32_t next_number(SpillFile::Reader& reader) {
    const auto record = reader.next();
    REQUIRE(record);
    std::uint32_t number = 0;
    std::memcpy(&number, record->data(), sizeof(number));
    return number;
}

}  // namespace

TEST_CASE("reading a run frees its disk space and leaves the other runs") {
    constexpr std::uint32_t records = 16384;  // 16 MiB a run
    SpillFile file{std::filesystem::temp_directory_path().string()};
    add_run(file, 0, records);
    add_run(file, records, records);
    REQUIRE(file.runs() == 2);
    const std::uint64_t whole = bytes_on_disk();
    REQUIRE(whole > 32U << 20U);

    SpillFile::Reader first{file, 0, 1U << 16U};
    SpillFile::Reader second{file, 1, 1U << 16U};
    std::uint32_t wrong = 0;
    for (std::uint32_t number = 0; number < records / 2; ++number) {
        wrong += next_number(first) == number ? 0 : 1;
    }
    CHECK(bytes_on_disk() < whole - (6U << 20U));
    CHECK(bytes_on_disk() > whole - (10U << 20U));
    for (std::uint32_t number = 0; number < records; ++number) {
        wrong += next_number(second) == records + number ? 0 : 1;
    }
    for (std::uint32_t number = records / 2; number < records; ++number) {
        wrong += next_number(first) == number ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK_FALSE(first.next());
    CHECK_FALSE(second.next());
    CHECK(bytes_on_disk() < 1U << 20U);
    CHECK_FALSE(SpillFile::Reader(file, 0, 1U << 16U).next());
}
