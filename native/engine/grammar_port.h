// Where the engine and a grammar worker meet. The worker tells which tokens a constrained answer may have next.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/channel.h"

namespace kexa {

// The messages to the worker.
namespace grammar {
// An answer begins, or the worker is new and has not seen its tokens.
struct Begin {
  uint64_t sequence;
  int grammar;              // the number by which worker and caller know the grammar
  std::vector<int> tokens;  // of the answer so far
};
// Wants masks for the rows of the sequence's next step.
struct Ask {
  uint64_t sequence, step;
  std::vector<int> taken;   // tokens of the answer since the last Ask
  std::vector<int> drafts;  // guesses at the tokens after them
  int most_drafts;          // that the step can have
  bool forces;              // a token that is the only one allowed is to be added to the drafts
};
struct End {
  uint64_t sequence;
};
using Message = std::variant<Begin, Ask, End>;
}  // namespace grammar

// The worker's answer to an Ask.
struct GrammarMasks {
  std::vector<int> drafts;  // all are allowed
  std::vector<uint32_t>
      words;  // [1 + drafts, mask_words(vocab)], as in Group::masks: after each draft, and before them
};

// The rules:
// - The engine asks for one step of a sequence at a time, and never waits. Without its masks a sequence has no step.
// - An answer to an older Ask is dropped, and so is a second one. Messages may come late and in any order.
// - A worker may be lost at any time. The next one that is attached gets all tokens again.
//
// The bell's lock guards everything.
class GrammarPort {
 public:
  GrammarPort(std::shared_ptr<Bell> bell, int vocab) : bell_(std::move(bell)), vocab_(vocab) {}

  // Engine's thread. `sequence` is any number that no running sequence has.
  void begin(uint64_t sequence, int grammar);
  void ask(uint64_t sequence, std::vector<int> taken, std::vector<int> drafts, int most_drafts, bool forces);
  void end(uint64_t sequence);

  // Engine's thread, with the bell locked: whether answers have come, and those answers. An error ends its sequence.
  struct News {
    uint64_t sequence;
    std::variant<GrammarMasks, event::Failed> what;
  };
  bool has_news() const { return !news_.empty(); }
  std::vector<News> take_news() { return std::exchange(news_, {}); }

  // Worker's thread. A worker gets a number from attach(), and is ignored once another worker is attached. `wake` is
  // called, with the bell locked, whenever take() would give messages. It must not block.
  uint64_t attach(std::function<void()> wake);
  void detach(uint64_t worker);
  std::vector<grammar::Message> take(uint64_t worker);
  void give(uint64_t worker, uint64_t sequence, uint64_t step, GrammarMasks masks);
  void fail(uint64_t worker, uint64_t sequence, event::Failed failure);

  // Any thread. How long the oldest Ask has had no answer; 0 if each has one.
  std::chrono::milliseconds waited() const;
  // Ends all sequences with the error.
  void fail_all(const event::Failed& failure);

 private:
  using Clock = std::chrono::steady_clock;
  struct Run {
    int grammar = 0;
    std::vector<int> tokens;  // up to those of the Ask
    uint64_t step = 0;        // number of the last Ask
    std::optional<grammar::Ask> ask;
    Clock::time_point asked_at;
    bool has_begun = false, is_told = false;  // the worker was told to begin, and was given the Ask
  };

  void wake() const;
  std::optional<event::Failed> problem_of(const grammar::Ask& ask, const GrammarMasks& masks) const;
  void tell(uint64_t sequence, std::variant<GrammarMasks, event::Failed> what);

  const std::shared_ptr<Bell> bell_;
  const int vocab_;
  std::map<uint64_t, Run> runs_;
  std::vector<uint64_t> ended_;  // not told to the worker yet
  std::vector<News> news_;
  uint64_t worker_ = 0, workers_ = 0;  // the attached one, or 0; and how many there were
  std::function<void()> wake_;
};

}  // namespace kexa
