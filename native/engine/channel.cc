#include "engine/channel.h"

#include <iterator>
#include <new>

#include "base/failure.h"

namespace kexa {

void Channel::push(Event event) noexcept {
  std::lock_guard lock(bell_->mutex);
  try {
    if (!is_lost_) join(event);
  } catch (const std::bad_alloc&) {
    is_lost_ = true;
    cancelled_.store(true, std::memory_order_relaxed);
  }
  if (wake_) wake_();
}

template <typename Make>
void Channel::push_made(const Make& make) noexcept {
  try {
    push(make());
  } catch (const std::bad_alloc&) {
    lose();
  }
}

void Channel::fail(const char* code, const char* message) noexcept {
  push_made([&] { return event::Failed{code, message}; });
}

void Channel::fail(const std::exception_ptr& exception) noexcept {
  push_made([&] {
    Failure failure = failure_of(exception);
    return event::Failed{std::move(failure.code), std::move(failure.message)};
  });
}

void Channel::lose() noexcept {
  std::lock_guard lock(bell_->mutex);
  is_lost_ = true;
  cancelled_.store(true, std::memory_order_relaxed);
  if (wake_) wake_();
}

void Channel::join(Event& event) {
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
}

void Channel::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  {
    std::lock_guard lock(bell_->mutex);
  }  // the engine's thread is not between looking and waiting now
  bell_->rung.notify_one();
}

std::vector<Event> Channel::take() {
  std::vector<Event> taken;
  {
    std::lock_guard lock(bell_->mutex);
    if (is_lost_)
      events_.assign(1,
                     event::Failed{"KEXA_OUT_OF_MEMORY", "the system has no memory left for this request's results"});
    is_lost_ = false;
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
