// The order of results, and the limits of the pool.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "worker_pool.hpp"

using namespace geojepa;

namespace {

struct Number {
    int value;
    std::uint64_t size;
    std::uint64_t bytes() const { return size; }
};
struct Nothing {};
using Pool = WorkerPool<Nothing, Number>;

}  // namespace

TEST_CASE("results are consumed in the order of their tasks, for any limit of bytes") {
    for (const std::uint64_t room : {0U, 150U, 1000000U}) {
        std::vector<int> results;
        Pool pool{{.threads = 3, .tasks = 7, .waiting_bytes = room},
                  [] { return Nothing{}; },
                  [&](Number number) { results.push_back(number.value); }};
        for (int i = 0; i < 500; ++i) {
            pool.submit([i](Nothing&) { return Number{i, 100}; });
        }
        pool.finish();
        REQUIRE(results.size() == 500);
        for (int i = 0; i < 500; ++i) {
            CHECK(results[static_cast<std::size_t>(i)] == i);
        }
    }
}

TEST_CASE("no task starts while waiting results exceed their limit") {
    constexpr std::uint64_t threads = 4;
    std::atomic<std::uint64_t> alive{0};
    std::atomic<std::uint64_t> most{0};
    Pool pool{{.threads = threads, .tasks = 64, .waiting_bytes = 300},
              [] { return Nothing{}; },
              [&](const Number& number) {
                  std::this_thread::sleep_for(std::chrono::milliseconds{1});  // slower than the threads
                  alive -= number.size;
              }};
    for (int i = 0; i < 200; ++i) {
        pool.submit([&](Nothing&) {
            const std::uint64_t now = alive += 100;
            for (std::uint64_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
            }
            return Number{0, 100};
        });
    }
    pool.finish();
    CHECK(alive == 0);
    // The limit, plus one result for each thread that had started before.
    CHECK(most <= 300 + 100 * threads);
    CHECK(most >= 300);
}

TEST_CASE("the pool rethrows what a task throws") {
    Pool pool{{.threads = 2, .tasks = 4, .waiting_bytes = 100}, [] { return Nothing{}; }, [](const Number&) {}};
    const auto fail = [&] {
        for (int i = 0; i < 20; ++i) {
            pool.submit([i](Nothing&) -> Number {
                if (i == 10) {
                    throw std::runtime_error{"the tenth"};
                }
                return {i, 500};
            });
        }
        pool.finish();
    };
    CHECK_THROWS_WITH(fail(), "the tenth");
}

TEST_CASE("a result whose consumption failed does not count against the limit") {
    int consumed = 0;
    Pool pool{{.threads = 2, .tasks = 4, .waiting_bytes = 50},
              [] { return Nothing{}; },
              [&](const Number& number) {
                  if (number.value == 0) {
                      throw std::runtime_error{"no room"};
                  }
                  ++consumed;
              }};
    int thrown = 0;
    for (int i = 0; i < 20; ++i) {
        try {
            pool.submit([i](Nothing&) { return Number{i, 100}; });
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    try {
        pool.finish();
    } catch (const std::runtime_error&) {
        ++thrown;
        pool.finish();
    }
    CHECK(thrown == 1);
    CHECK(consumed == 19);
}
