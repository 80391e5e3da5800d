#include "base/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/cores.h"
#include "base/start_thread.h"

namespace kexa {
namespace {

// A step is a few hundred short loops, and sleeping between two loops would cost more than the loops. After this many
// looks (some tens of microseconds) a waiting thread does sleep, so that an idle engine uses no processor.
constexpr int kSpins = 4000;
constexpr uint32_t kClosed = 0xffffffffu;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Value>
void wait_until_not(const std::atomic<Value>& value, Value old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_briefly();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads, std::vector<int> cores) : cores_(std::move(cores)) {
  workers_.reserve(size_t(std::max(0, threads - 1)));
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {
    // The system starts no more threads: the ones that run do all tasks.
  }
}

void ThreadPool::demand(int wanted) const {
  if (threads() >= wanted) return;
  throw Error("KEXA_OUT_OF_MEMORY", "threads: wanted " + std::to_string(wanted) + ", and the system started " +
                                        std::to_string(threads()) + kMoreThreads);
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::drain(uint32_t round, int thread) {
  while (true) {
    uint64_t next = next_.load(std::memory_order_acquire);
    const auto* task = task_.load(std::memory_order_acquire);
    const int tasks = tasks_.load(std::memory_order_acquire);
    const uint32_t index = uint32_t(next);
    if (uint32_t(next >> 32) != round || index >= uint32_t(tasks)) return;
    // If the exchange succeeds, the round is not over, so the function and the count belong to this round.
    if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel)) continue;
    attempt(*task, int(index), thread);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == tasks) done_.notify_all();
  }
}

void ThreadPool::run(int tasks, const std::function<void(int, int)>& task) {
  if (tasks <= 0) return;
  if (!cores_.empty() && !is_caller_placed_) stay_on(cores_[0]), is_caller_placed_ = true;
  if (workers_.empty() || tasks == 1) {
    for (int i = 0; i < tasks; ++i) attempt(task, i, 0);
    return throw_failure();
  }
  const uint32_t round = round_.load(std::memory_order_relaxed) + 1;
  // The counter is closed while the function and the count change, and opened afterwards. A thread that sees a new
  // function or count also sees the closed counter, and takes no index of the previous round.
  next_.store(uint64_t{round} << 32 | kClosed, std::memory_order_seq_cst);
  task_.store(&task, std::memory_order_release);
  tasks_.store(tasks, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  next_.store(uint64_t{round} << 32, std::memory_order_seq_cst);
  round_.store(round, std::memory_order_release);
  round_.notify_all();
  drain(round, 0);
  for (int done; (done = done_.load(std::memory_order_acquire)) != tasks;) wait_until_not(done_, done);
  throw_failure();
}

void ThreadPool::attempt(const std::function<void(int, int)>& task, int index, int thread) noexcept {
  try {
    task(index, thread);
  } catch (...) {
    const std::lock_guard lock(failing_);
    if (failure_ && failed_index_ < index) return;
    failure_ = std::current_exception();
    failed_index_ = index;
  }
}

// All tasks are done, so no other thread touches `failure_`.
void ThreadPool::throw_failure() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::work(int thread) {
  if (!cores_.empty()) stay_on(cores_[thread]);
  uint32_t seen = 0;
  while (true) {
    wait_until_not(round_, seen);
    seen = round_.load(std::memory_order_acquire);
    if (stopping_) return;
    drain(seen, thread);
  }
}

}  // namespace kexa
