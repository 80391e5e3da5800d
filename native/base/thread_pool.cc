#include "base/thread_pool.h"

namespace kexa {
namespace {

// A step is a few hundred short loops: sleeping between them would cost more than they do. After this many looks
// (some tens of microseconds) a waiting thread sleeps, so that an idle engine uses no processor.
constexpr int kSpins = 4000;

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

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::drain(int thread) {
  for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) (*task_)(index, thread);
}

void ThreadPool::run(int tasks, const std::function<void(int, int)>& task) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int i = 0; i < tasks; ++i) task(i, 0);
    return;
  }
  task_ = &task;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(int(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  drain(0);
  for (int busy; (busy = busy_.load(std::memory_order_acquire)) != 0;) wait_until_not(busy_, busy);
}

void ThreadPool::work(int thread) {
  uint32_t seen = 0;
  while (true) {
    wait_until_not(round_, seen);
    seen = round_.load(std::memory_order_acquire);
    if (stopping_) return;
    drain(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace kexa
