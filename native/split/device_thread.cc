#include "split/device_thread.h"

#include "base/start_thread.h"

namespace kexa {

DeviceThread::DeviceThread() : thread_(start_thread("a device", [this] { loop(); })) {}

DeviceThread::~DeviceThread() {
  {
    std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  rung_.notify_one();
  thread_.join();
}

void DeviceThread::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  rung_.notify_one();
}

void DeviceThread::loop() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      rung_.wait(lock, [&] { return is_ending_ || !work_.empty(); });
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    const auto begun = Clock::now();
    work();
    busy_ns_ += since(begun);
  }
}

}  // namespace kexa
