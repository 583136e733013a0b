// Threads that turn tasks into results, which come back in the order in which the tasks were given.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace geojepa {

/// `Worker` is a thread's own state: what tasks may use without a lock. `Result::bytes()` says what one takes.
template <typename Worker, typename Result>
class WorkerPool {
public:
    using Task = std::function<Result(Worker&)>;

    struct Limits {
        std::size_t threads;
        /// Most tasks under way: the more there are, the longer threads have work while `consume` is busy.
        std::size_t tasks;
        /// No task is begun while results of more bytes wait.
        std::uint64_t waiting_bytes;
    };

    /// `make_worker` is called once a thread, `consume` on the thread that gives the tasks.
    WorkerPool(Limits limits, std::function<Worker()> make_worker, std::function<void(Result)> consume)
        : make_worker_(std::move(make_worker)), consume_(std::move(consume)), limits_(limits) {
        for (std::size_t i = 0; i < limits_.threads; ++i) {
            threads_.emplace_back([this] { work(); });
        }
    }

    ~WorkerPool() {
        {
            const std::lock_guard lock{mutex_};
            stopping_ = true;
            tasks_.clear();
        }
        wake_.notify_all();
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }

    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// Gives a task. Waits for the oldest one where too many are under way. Throws what a task threw.
    void submit(Task task) {
        std::packaged_task<Result(Worker&)> packaged{[this, task = std::move(task)](Worker& worker) {
            Result result = task(worker);
            const std::lock_guard lock{mutex_};
            waiting_bytes_ += result.bytes();
            return result;
        }};
        results_.push_back(packaged.get_future());
        {
            const std::lock_guard lock{mutex_};
            tasks_.push_back(std::move(packaged));
        }
        wake_.notify_one();
        while (results_.size() > limits_.tasks || (!results_.empty() && too_many_bytes())) {
            consume_oldest();
        }
    }

    /// Waits for all tasks.
    void finish() {
        while (!results_.empty()) {
            consume_oldest();
        }
    }

private:
    void consume_oldest() {
        std::future<Result> oldest = std::move(results_.front());
        results_.pop_front();
        Result result = oldest.get();
        const Leaving leaving{*this, result.bytes()};
        consume_(std::move(result));
    }

    /// A result's bytes, until it is consumed or that failed.
    struct Leaving {
        WorkerPool& pool;
        std::uint64_t bytes;

        ~Leaving() {
            {
                const std::lock_guard lock{pool.mutex_};
                pool.waiting_bytes_ -= bytes;
            }
            pool.wake_.notify_all();
        }
    };

    bool too_many_bytes() {
        const std::lock_guard lock{mutex_};
        return waiting_bytes_ > limits_.waiting_bytes;
    }

    void work() {
        Worker worker = make_worker_();
        while (true) {
            std::unique_lock lock{mutex_};
            // What waits was begun before the tasks that are left, so that the oldest result is always on its way.
            wake_.wait(lock,
                       [this] { return stopping_ || (!tasks_.empty() && waiting_bytes_ <= limits_.waiting_bytes); });
            if (stopping_) {
                return;
            }
            std::packaged_task<Result(Worker&)> task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task(worker);
        }
    }

    std::function<Worker()> make_worker_;
    std::function<void(Result)> consume_;
    Limits limits_;
    std::deque<std::future<Result>> results_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::packaged_task<Result(Worker&)>> tasks_;
    std::uint64_t waiting_bytes_ = 0;  // of results that are there and not consumed
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace geojepa
