#include "engine/stats.h"

#include "base/failure.h"

namespace kexa {

void StatsBoard::show() {
  std::lock_guard lock(bell->mutex);
  shown = counted;
}

void StatsBoard::show_closed() {
  counted.running = counted.waiting = counted.parked = 0;
  counted.waiting_tokens = 0;
  counted.live_pages = counted.kept_pages = 0;
  counted.free_pages = counted.pages;
  show();
}

void StatsBoard::note_failure(const std::exception_ptr& exception) {
  if (failure_of(exception).code == "KEXA_DEVICE_LOST") counted.is_device_lost = true;
}

}  // namespace kexa
