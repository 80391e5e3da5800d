// Threads that share the work of one loop at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kexa {

// Tasks are handed out one by one from a counter, and the caller works too. The caller waits for tasks, not for
// threads: a thread that gets no processor time delays at most the one task it holds. Results must not depend on which
// thread runs a task.
class ThreadPool {
 public:
  // `threads` counts the caller, so 1 starts none. If the system starts fewer, threads() tells how many. With `cores`
  // (one CPU for each thread) every thread stays on its CPU from its first task on. That includes the caller, which
  // must then always be the same thread.
  explicit ThreadPool(int threads, std::vector<int> cores = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }
  // Throws KEXA_OUT_OF_MEMORY if there are fewer than `threads`. For a number of threads that the user asked for.
  void demand(int threads) const;

  // Calls task(index, thread) for every index in [0, tasks), with thread in [0, threads()), and returns when all are
  // done. If tasks throw, the others still run; then the exception of the lowest index is thrown. Only one caller may
  // run at a time.
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
  // The upper half is the round, the lower half the next task. Taking a task fails once its round is over. So a late
  // thread, which still has the previous round's function, cannot take a task of the new round.
  std::atomic<uint64_t> next_{0};
  std::atomic<const std::function<void(int, int)>*> task_{nullptr};
  std::atomic<int> tasks_{0};
  std::atomic<int> done_{0};
  std::atomic<bool> stopping_{false};
  std::mutex failing_;
  std::exception_ptr failure_;  // of this round, the one of the lowest index
  int failed_index_ = 0;
};

}  // namespace kexa
