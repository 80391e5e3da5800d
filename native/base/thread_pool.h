// Threads that share out one loop at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace kexa {

// Tasks are handed out one by one from a counter, so a thread that the machine takes away for a while delays only the
// task it holds. The caller works too. Results must not depend on which thread runs a task.
class ThreadPool {
 public:
  // `threads` counts the caller; 1 starts none.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  // Calls task(index, thread) for every index in [0, tasks), thread in [0, threads()), and returns when all are done.
  // Tasks must not throw. One caller at a time.
  void run(int tasks, const std::function<void(int, int)>& task);

 private:
  void work(int thread);
  void drain(int thread);

  std::vector<std::thread> workers_;
  const std::function<void(int, int)>* task_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<uint32_t> round_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace kexa
