#include "engine/grammar_port.h"

#include <algorithm>

#include "plan/limits.h"

namespace kexa {

void GrammarPort::begin(uint64_t sequence, int grammar) {
  const std::lock_guard lock(bell_->mutex);
  runs_[sequence].grammar = grammar;
}

void GrammarPort::ask(uint64_t sequence, std::vector<int> taken, std::vector<int> drafts, int most_drafts,
                      bool forces) {
  const std::lock_guard lock(bell_->mutex);
  Run& run = runs_.at(sequence);
  run.ask = {.sequence = sequence,
             .step = ++run.step,
             .taken = std::move(taken),
             .drafts = std::move(drafts),
             .most_drafts = most_drafts,
             .forces = forces};
  run.asked_at = Clock::now();
  run.is_told = false;
  wake();
}

void GrammarPort::end(uint64_t sequence) {
  const std::lock_guard lock(bell_->mutex);
  const auto run = runs_.find(sequence);
  if (run == runs_.end()) return;
  if (run->second.has_begun) ended_.push_back(sequence);
  runs_.erase(run);
  std::erase_if(news_, [&](const News& one) { return one.sequence == sequence; });
  wake();
}

uint64_t GrammarPort::attach(std::function<void()> wake) {
  const std::lock_guard lock(bell_->mutex);
  worker_ = ++workers_;
  wake_ = std::move(wake);
  ended_.clear();
  for (auto& [sequence, run] : runs_) run.has_begun = run.is_told = false;
  this->wake();
  return worker_;
}

void GrammarPort::detach(uint64_t worker) {
  const std::lock_guard lock(bell_->mutex);
  if (worker != worker_) return;
  worker_ = 0;
  wake_ = nullptr;
}

void GrammarPort::wake() const {
  if (wake_) wake_();
}

std::vector<grammar::Message> GrammarPort::take(uint64_t worker) {
  const std::lock_guard lock(bell_->mutex);
  std::vector<grammar::Message> messages;
  if (worker != worker_) return messages;
  for (const uint64_t sequence : std::exchange(ended_, {})) messages.push_back(grammar::End{sequence});
  for (auto& [sequence, run] : runs_) {
    if (!run.has_begun) messages.push_back(grammar::Begin{sequence, run.grammar, run.tokens});
    run.has_begun = true;
    if (run.ask && !run.is_told) messages.push_back(*run.ask);
    run.is_told = true;
  }
  return messages;
}

// Why the engine cannot use the masks. Nothing if it can.
std::optional<event::Failed> GrammarPort::problem_of(const grammar::Ask& ask, const GrammarMasks& masks) const {
  const size_t words = size_t(mask_words(vocab_)), rows = 1 + masks.drafts.size();
  const auto is_token = [&](int token) { return token >= 0 && token < vocab_; };
  if (int(masks.drafts.size()) > std::max(0, ask.most_drafts) || masks.words.size() != rows * words ||
      !std::all_of(masks.drafts.begin(), masks.drafts.end(), is_token))
    return event::Failed{"KEXA_INTERNAL", "the grammar worker gave masks of a wrong size"};
  for (size_t row = 0; row < rows; ++row) {
    const auto first = masks.words.begin() + int64_t(row * words);
    if (std::all_of(first, first + int64_t(words), [](uint32_t word) { return word == 0; }))
      return event::Failed{"KEXA_INVALID_ARGUMENT",
                           "grammar: no token is allowed at a place that the answer has come to; wanted a grammar from "
                           "whose every place an end can be reached"};
  }
  return std::nullopt;
}

// Rings for the engine's thread.
void GrammarPort::tell(uint64_t sequence, std::variant<GrammarMasks, event::Failed> what) {
  news_.push_back({sequence, std::move(what)});
  bell_->rung.notify_one();
}

void GrammarPort::give(uint64_t worker, uint64_t sequence, uint64_t step, GrammarMasks masks) {
  const std::lock_guard lock(bell_->mutex);
  const auto found = runs_.find(sequence);
  if (worker != worker_ || found == runs_.end()) return;
  Run& run = found->second;
  if (!run.ask || run.ask->step != step) return;
  std::optional<event::Failed> problem = problem_of(*run.ask, masks);
  run.tokens.insert(run.tokens.end(), run.ask->taken.begin(), run.ask->taken.end());
  run.ask.reset();
  if (problem) return tell(sequence, std::move(*problem));
  tell(sequence, std::move(masks));
}

void GrammarPort::fail(uint64_t worker, uint64_t sequence, event::Failed failure) {
  const std::lock_guard lock(bell_->mutex);
  const auto found = runs_.find(sequence);
  if (worker != worker_ || found == runs_.end()) return;
  found->second.ask.reset();
  tell(sequence, std::move(failure));
}

std::chrono::milliseconds GrammarPort::waited() const {
  const std::lock_guard lock(bell_->mutex);
  const Clock::time_point now = Clock::now();
  Clock::duration longest{};
  for (const auto& [sequence, run] : runs_)
    if (run.ask) longest = std::max(longest, now - run.asked_at);
  return std::chrono::duration_cast<std::chrono::milliseconds>(longest);
}

void GrammarPort::fail_all(const event::Failed& failure) {
  const std::lock_guard lock(bell_->mutex);
  for (auto& [sequence, run] : runs_) {
    run.ask.reset();
    tell(sequence, failure);
  }
}

}  // namespace kexa
