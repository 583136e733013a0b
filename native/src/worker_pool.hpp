// A thread pool that returns results in the order in which their tasks were submitted.
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

/// `Worker` is the state of one thread, which tasks use without a lock. `Result::bytes()` is the memory that a result
/// takes.
template <typename Worker, typename Result>
class WorkerPool {
public:
    using Task = std::function<Result(Worker&)>;

    struct Capacity {
        std::size_t threads = 1;
        /// Maximum number of unfinished tasks. The more there are, the longer threads have work while `consume` runs.
        std::size_t tasks = 1;
        /// No task starts while the results that wait for `consume` take more bytes than this.
        std::uint64_t waiting_bytes = 0;
    };

    /// Calls `make_worker` once in each thread, and `consume` in the thread that submits the tasks.
    WorkerPool(Capacity capacity, std::function<Worker()> make_worker, std::function<void(Result)> consume)
        : make_worker_(std::move(make_worker)), consume_(std::move(consume)), capacity_(capacity) {
        for (std::size_t i = 0; i < capacity_.threads; ++i) {
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

    /// Submits a task. Waits for the oldest ones while a limit is exceeded. Rethrows what an earlier task threw.
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
        while (results_.size() > capacity_.tasks || (!results_.empty() && too_many_bytes())) {
            consume_oldest();
        }
    }

    /// Waits for all tasks and consumes their results. Rethrows what a task threw.
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

    /// Subtracts the bytes of a result when it has been consumed, or when consuming it failed.
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
        return waiting_bytes_ > capacity_.waiting_bytes;
    }

    void work() {
        Worker worker = make_worker_();
        while (true) {
            std::unique_lock lock{mutex_};
            // This cannot deadlock: tasks start in order, so the oldest unconsumed result is finished or in progress.
            wake_.wait(lock,
                       [this] { return stopping_ || (!tasks_.empty() && waiting_bytes_ <= capacity_.waiting_bytes); });
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
    Capacity capacity_;
    std::deque<std::future<Result>> results_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::packaged_task<Result(Worker&)>> tasks_;
    std::uint64_t waiting_bytes_ = 0;  // of results that are finished and not yet consumed
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace geojepa
