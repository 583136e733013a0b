// Runs a fuzz target without libFuzzer, so that any compiler can build it: on every seed, then on random mutations of
// the seeds. Each input is written to FOUND before it runs, so the file holds the one that crashed or hung.
//
//   replay-TARGET INPUTS SEED FOUND FOLDER     INPUTS mutations of the files in FOLDER; SEED of the random numbers
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t max_bytes = 16384;
constexpr unsigned timeout_s = 20;

class Mutator {
public:
    Mutator(const std::vector<Bytes>& seeds, std::uint64_t seed) : seeds_(seeds), random_(seed) {}

    Bytes next() {
        Bytes bytes = any_seed();
        for (std::uint64_t left = std::uint64_t{1} << below(4); left > 0; --left) {
            change(bytes);
        }
        bytes.resize(std::min(bytes.size(), max_bytes));
        return bytes;
    }

private:
    struct Block {
        std::ptrdiff_t first = 0;
        std::ptrdiff_t last = 0;
    };

    /// Unlike those of std::uniform_int_distribution, these numbers are the same in every standard library.
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    const Bytes& any_seed() { return seeds_[below(seeds_.size())]; }

    /// A random block. Its maximum length is a random power of two, so short blocks are frequent.
    Block block_of(const Bytes& bytes) {
        const std::size_t longest = std::min<std::size_t>(bytes.size(), std::size_t{1} << below(12));
        const std::size_t size = 1 + below(longest);
        const auto first = static_cast<std::ptrdiff_t>(below(bytes.size() - size + 1));
        return {.first = first, .last = first + static_cast<std::ptrdiff_t>(size)};
    }

    void change(Bytes& bytes) {
        if (bytes.empty()) {
            bytes = any_seed();
            return;
        }
        switch (below(4)) {
            case 0:
                bytes[below(bytes.size())] ^= static_cast<std::uint8_t>(1U << below(8));
                break;
            case 1:
                fill(bytes);
                break;
            case 2:
                splice(bytes);
                break;
            default:
                const Block block = block_of(bytes);
                bytes.erase(bytes.begin() + block.first, bytes.begin() + block.last);
        }
    }

    /// Overwrites up to 8 bytes with a limit of integers.
    void fill(Bytes& bytes) {
        constexpr std::array<std::uint8_t, 5> limits{0x00, 0x01, 0x7f, 0x80, 0xff};
        const std::size_t first = below(bytes.size());
        const std::size_t last = std::min<std::size_t>(bytes.size(), first + 1 + below(8));
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.begin() + static_cast<std::ptrdiff_t>(last),
                  limits[below(limits.size())]);
    }

    /// Replaces a block by a block of any seed.
    void splice(Bytes& bytes) {
        const Bytes& other = any_seed();
        const Block theirs = block_of(other);
        const Block ours = block_of(bytes);
        const auto at = bytes.erase(bytes.begin() + ours.first, bytes.begin() + ours.last);
        bytes.insert(at, other.begin() + theirs.first, other.begin() + theirs.last);
    }

    const std::vector<Bytes>& seeds_;
    std::mt19937_64 random_;
};

std::vector<Bytes> read_seeds(const std::string& folder) {
    std::vector<std::filesystem::path> paths{std::filesystem::directory_iterator{folder},
                                             std::filesystem::directory_iterator{}};
    std::sort(paths.begin(), paths.end());
    std::vector<Bytes> seeds;
    for (const std::filesystem::path& path : paths) {
        std::ifstream file{path, std::ios::binary};
        seeds.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
        if (file.bad() || seeds.back().empty() || seeds.back().size() > max_bytes) {
            throw std::runtime_error("`" + path.string() + "` is not a seed of 1 to 16384 bytes");
        }
    }
    if (seeds.empty()) {
        throw std::runtime_error("`" + folder + "` has no seeds");
    }
    return seeds;
}

/// An exception that the target throws ends the program, because this function is noexcept.
void run_one(const Bytes& bytes, const std::string& found) noexcept {
    std::ofstream{found, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                 static_cast<std::streamsize>(bytes.size()));
    (void)::alarm(timeout_s);
    // The target reads from an allocation without spare capacity, so that ASan detects a read past the end.
    const Bytes exact(bytes.begin(), bytes.end());
    (void)LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

}  // namespace

int main(int count, char** values) {
    const std::vector<std::string> arguments{values + 1, values + count};
    if (arguments.size() != 4) {
        std::fputs("usage: replay-TARGET INPUTS SEED FOUND FOLDER\n", stderr);
        return 2;
    }
    try {
        const std::uint64_t inputs = std::stoull(arguments[0]);
        const std::string& found = arguments[2];
        const std::vector<Bytes> seeds = read_seeds(arguments[3]);
        for (const Bytes& seed : seeds) {
            run_one(seed, found);
        }
        Mutator mutator{seeds, std::stoull(arguments[1])};
        for (std::uint64_t i = 0; i < inputs; ++i) {
            run_one(mutator.next(), found);
        }
        std::filesystem::remove(found);
        std::printf("%ju inputs\n", std::uintmax_t{inputs + seeds.size()});
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
