// Threads that share out one loop at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kexa {

// Tasks are handed out one by one from a counter, and the caller works too. It waits for tasks, not for threads: one
// that the machine has given no time yet, or takes away for a while, delays at most the task it holds. Results must not
// depend on which thread runs a task.
class ThreadPool {
 public:
  // `threads` counts the caller; 1 starts none. Where the system starts fewer, threads() tells. With `cores`, one for
  // each thread, every thread stays on its own from its first task on, the caller too, which must then always be the
  // same thread.
  explicit ThreadPool(int threads, std::vector<int> cores = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }
  // Throws KEXA_OUT_OF_MEMORY if there are fewer than `threads`, as somebody has asked for so many.
  void demand(int threads) const;

  // Calls task(index, thread) for every index in [0, tasks), thread in [0, threads()), and returns when all are done.
  // If tasks throw, all others are done all the same; then what the first of them by index threw is thrown. One caller
  // at a time.
  void run(int tasks, const std::function<void(int, int)>& task);

 private:
  void work(int thread);
  void attempt(const std::function<void(int, int)>& task, int index, int thread) noexcept;
  void throw_failure();
  void drain(uint32_t round, int thread);

  std::vector<int> cores_;
  bool is_caller_placed_ = false;
  std::vector<std::thread> workers_;
  std::atomic<uint32_t> round_{0};
  // The round in the upper half, the next task in the lower: taking a task fails once its round is over, so a thread
  // that comes late cannot take one of the next round's with this round's function in hand.
  std::atomic<uint64_t> next_{0};
  std::atomic<const std::function<void(int, int)>*> task_{nullptr};
  std::atomic<int> tasks_{0};
  std::atomic<int> done_{0};
  std::atomic<bool> stopping_{false};
  std::mutex failing_;
  std::exception_ptr failure_;  // of the round
  int failed_index_ = 0;
};

}  // namespace kexa
