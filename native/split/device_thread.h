// A thread that does the work given to it, in order.
#pragma once

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

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable rung_;
  std::deque<std::function<void()>> work_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace kexa
