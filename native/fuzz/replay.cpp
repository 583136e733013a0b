// Runs a fuzz target without libFuzzer, so that any compiler will do: on every seed, then on seeded random mutations of
// them. A child does the work; its parent keeps the input on which it died, hung or left a leak.
//
//   replay-TARGET INPUTS SEED FOUND PATH...     PATH: a seed, or a folder of seeds; FOUND: where that input is kept
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t most_bytes = 16384;
constexpr unsigned most_seconds = 20;

/// What the child runs on, in memory that outlives it.
struct Running {
    std::uint64_t number;
    std::size_t size;
    std::array<std::uint8_t, most_bytes> bytes;
};

class Mutator {
public:
    Mutator(const std::vector<Bytes>& seeds, std::uint64_t seed) : seeds_(seeds), random_(seed) {}

    Bytes next() {
        Bytes bytes = any_seed();
        for (std::uint64_t left = std::uint64_t{1} << below(4); left > 0; --left) {
            change(bytes);
        }
        bytes.resize(std::min(bytes.size(), most_bytes));
        return bytes;
    }

private:
    struct Block {
        std::ptrdiff_t first, last;
    };

    /// Not std::uniform_int_distribution: its numbers differ between standard libraries.
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    const Bytes& any_seed() { return seeds_[below(seeds_.size())]; }

    /// Short ones as often as long ones.
    Block block_of(const Bytes& bytes) {
        const std::size_t longest = std::min<std::size_t>(bytes.size(), std::size_t{1} << below(12));
        const std::size_t size = 1 + below(longest);
        const auto first = static_cast<std::ptrdiff_t>(below(bytes.size() - size + 1));
        return {first, first + static_cast<std::ptrdiff_t>(size)};
    }

    void change(Bytes& bytes) {
        if (bytes.empty()) {
            bytes = any_seed();
            return;
        }
        switch (below(6)) {
            case 0:
            case 1:
                bytes[below(bytes.size())] ^= static_cast<std::uint8_t>(1U << below(8));
                break;
            case 2:
                fill(bytes);
                break;
            case 3:
                cut(bytes);
                break;
            case 4:
                splice(bytes);
                break;
            default:
                repeat(bytes);
        }
    }

    /// Bytes that are the ends of integers' ranges.
    void fill(Bytes& bytes) {
        constexpr std::array<std::uint8_t, 5> extremes{0x00, 0x01, 0x7f, 0x80, 0xff};
        const std::size_t first = below(bytes.size());
        const std::size_t last = std::min<std::size_t>(bytes.size(), first + 1 + below(8));
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(first), bytes.begin() + static_cast<std::ptrdiff_t>(last),
                  extremes[below(extremes.size())]);
    }

    void cut(Bytes& bytes) {
        const Block block = block_of(bytes);
        bytes.erase(bytes.begin() + block.first, bytes.begin() + block.last);
    }

    void splice(Bytes& bytes) {
        const Bytes& other = any_seed();
        const Block theirs = block_of(other);
        const Block ours = block_of(bytes);
        const auto at = bytes.erase(bytes.begin() + ours.first, bytes.begin() + ours.last);
        bytes.insert(at, other.begin() + theirs.first, other.begin() + theirs.last);
    }

    void repeat(Bytes& bytes) {
        const Block block = block_of(bytes);
        const Bytes copy{bytes.begin() + block.first, bytes.begin() + block.last};
        for (std::uint64_t times = 1 + below(4); times > 0 && bytes.size() < most_bytes; --times) {
            bytes.insert(bytes.begin() + block.last, copy.begin(), copy.end());
        }
    }

    const std::vector<Bytes>& seeds_;
    std::mt19937_64 random_;
};

Bytes bytes_of(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    const Bytes bytes{std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{}};
    if (file.bad() || bytes.empty() || bytes.size() > most_bytes) {
        throw std::runtime_error("`" + path.string() + "` is no seed: it must have between 1 and 16384 bytes");
    }
    return bytes;
}

std::vector<Bytes> read_seeds(const std::vector<std::string>& paths) {
    std::vector<Bytes> seeds;
    for (const std::string& path : paths) {
        std::vector<std::filesystem::path> files{path};
        if (std::filesystem::is_directory(path)) {
            files.assign(std::filesystem::directory_iterator{path}, std::filesystem::directory_iterator{});
            std::sort(files.begin(), files.end());
        }
        std::transform(files.begin(), files.end(), std::back_inserter(seeds), bytes_of);
    }
    if (seeds.empty()) {
        throw std::runtime_error("no seeds");
    }
    return seeds;
}

/// The target gets a copy with no byte to spare, so that reading past its end is noticed.
void run_one(const Bytes& bytes, Running& running) {
    ++running.number;
    running.size = bytes.size();
    std::copy(bytes.begin(), bytes.end(), running.bytes.begin());
    const std::unique_ptr<std::uint8_t[]> exact{new std::uint8_t[bytes.size()]};
    std::copy(bytes.begin(), bytes.end(), exact.get());
    (void)::alarm(most_seconds);
    (void)LLVMFuzzerTestOneInput(exact.get(), bytes.size());
}

/// An exception that the target lets through ends the child, as it would end a program.
void run_all(const std::vector<Bytes>& seeds, std::uint64_t inputs, std::uint64_t seed, Running& running) noexcept {
    for (const Bytes& bytes : seeds) {
        run_one(bytes, running);
    }
    Mutator mutator{seeds, seed};
    for (std::uint64_t i = 0; i < inputs; ++i) {
        run_one(mutator.next(), running);
    }
    (void)::alarm(0);
}

Running* shared_memory() {
    void* memory = ::mmap(nullptr, sizeof(Running), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::runtime_error("no shared memory");
    }
    return static_cast<Running*>(memory);
}

bool ended_well(pid_t child) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child) {
        throw std::runtime_error("lost the child");
    }
    if (WIFSIGNALED(status)) {
        std::fprintf(stderr, "ended by signal %d (%s)\n", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int replay(const std::vector<std::string>& arguments) {
    const std::uint64_t inputs = std::stoull(arguments[0]);
    const std::uint64_t seed = std::stoull(arguments[1]);
    const std::string& found = arguments[2];
    const std::vector<Bytes> seeds = read_seeds({arguments.begin() + 3, arguments.end()});
    Running& running = *shared_memory();
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::runtime_error("cannot fork");
    }
    if (child == 0) {
        run_all(seeds, inputs, seed, running);
        std::exit(0);  // which looks for leaks
    }
    if (!ended_well(child)) {
        std::ofstream{found, std::ios::binary}.write(reinterpret_cast<const char*>(running.bytes.data()),
                                                     static_cast<std::streamsize>(running.size));
        std::fprintf(stderr, "error: input %ju failed; it is kept in `%s`\n", std::uintmax_t{running.number},
                     found.c_str());
        return 1;
    }
    std::printf("%ju inputs\n", std::uintmax_t{running.number});
    return 0;
}

}  // namespace

int main(int count, char** values) {
    const std::vector<std::string> arguments{values + 1, values + count};
    if (arguments.size() < 4) {
        std::fputs("usage: replay-TARGET INPUTS SEED FOUND PATH...\n", stderr);
        return 2;
    }
    try {
        return replay(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 2;
    }
}
