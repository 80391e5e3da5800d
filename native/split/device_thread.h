// A thread that does the work given to it, in order.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace kexa {

class DeviceThread {
 public:
  DeviceThread();
  // Does the work given so far, and ends.
  ~DeviceThread();
  DeviceThread(const DeviceThread&) = delete;

  // `work` must not throw.
  void post(std::function<void()> work);

  // For the work itself: waits for other threads.
  template <typename Wait>
  void rest(const Wait& wait) {
    const auto begun = Clock::now();
    wait();
    busy_ns_ -= since(begun);
  }
  // The time that work has taken so far (nanoseconds), without its rests.
  int64_t busy_ns() const { return busy_ns_; }

 private:
  using Clock = std::chrono::steady_clock;
  static int64_t since(Clock::time_point begun) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begun).count();
  }
  void loop();

  std::mutex mutex_;
  std::condition_variable rung_;
  std::deque<std::function<void()>> work_;
  bool is_ending_ = false;
  std::atomic<int64_t> busy_ns_ = 0;
  std::thread thread_;
};

}  // namespace kexa
