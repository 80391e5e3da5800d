#include "engine/channel.h"

#include <iterator>

namespace kexa {

void Channel::push(Event event) {
  std::lock_guard lock(bell_->mutex);
  auto* tokens = std::get_if<event::Tokens>(&event);
  if (tokens) waiting_tokens_ += tokens->choices.size();
  auto* last = events_.empty() ? nullptr : std::get_if<event::Tokens>(&events_.back());
  if (tokens && last) {
    last->choices.insert(last->choices.end(), std::make_move_iterator(tokens->choices.begin()),
                         std::make_move_iterator(tokens->choices.end()));
    last->drafts.insert(last->drafts.end(), tokens->drafts.begin(), tokens->drafts.end());
    last->saved_ns = tokens->saved_ns;
  } else if (std::holds_alternative<event::Prompt>(event) && !events_.empty() &&
             std::holds_alternative<event::Prompt>(events_.back())) {
    events_.back() = std::move(event);
  } else {
    events_.push_back(std::move(event));
  }
  if (wake_) wake_();
}

void Channel::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  {
    std::lock_guard lock(bell_->mutex);
  }  // so that the engine thread is not between looking and waiting
  bell_->rung.notify_one();
}

std::vector<Event> Channel::take() {
  std::vector<Event> taken;
  {
    std::lock_guard lock(bell_->mutex);
    taken.swap(events_);
    waiting_tokens_ = 0;
  }
  bell_->rung.notify_one();
  return taken;
}

void Channel::attach(std::function<void()> wake) {
  std::lock_guard lock(bell_->mutex);
  wake_ = std::move(wake);
}

void Channel::detach() {
  std::lock_guard lock(bell_->mutex);
  wake_ = nullptr;
}

}  // namespace kexa
