// Lets a long loop notice that its result is no longer wanted.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/error.h"

namespace kexa {

// Belongs to one thread, but any thread may set `stop`. A tick is cheap enough for every byte of a text.
class Watch {
 public:
  explicit Watch(const std::atomic<bool>* stop = nullptr) : stop_(stop) {}
  // Throws Cancelled at most 4,096 ticks after `stop` was set.
  void tick() {
    if ((++ticks_ & 4095) == 0) look();
  }
  void look() const {
    if (stop_ != nullptr && stop_->load(std::memory_order_relaxed)) throw Cancelled{};
  }

 private:
  const std::atomic<bool>* stop_;
  uint32_t ticks_ = 0;
};

}  // namespace kexa
