#include "checks/grammar_run.h"

#include <algorithm>
#include <random>

#include "engine/grammar_port.h"

namespace kexa {
namespace {

constexpr int kVocab = 40, kMostDrafts = 4;

// The made-up grammar: a mask that depends on all tokens of the answer and on the grammar. It allows token 0 always.
std::vector<uint32_t> mask_of(int grammar, const std::vector<int>& tokens) {
  uint64_t hash = uint64_t(grammar) * 0x9e3779b97f4a7c15u + 1;
  for (const int token : tokens) hash = (hash ^ uint64_t(token + 1)) * 0x100000001b3u;
  return {uint32_t(hash >> 13) | 1, uint32_t(hash >> 45)};
}

struct Answer {
  uint64_t worker, sequence, step;
  GrammarMasks masks;
};

// A worker, which may have been replaced without knowing it.
struct Worker {
  uint64_t number;
  std::map<uint64_t, std::pair<int, std::vector<int>>> runs = {};  // grammar and tokens
};

struct Sequence {
  int grammar;
  std::vector<int> tokens;
  bool is_asked = false;
  std::vector<int> drafts = {};
};

class Run {
 public:
  explicit Run(uint64_t seed) : random_(seed) { replace_worker(); }

  GrammarRun run(int events) {
    for (int i = 0; i < events && result_.problem.empty(); ++i) do_event();
    finish();
    return result_;
  }

 private:
  int below(int count) { return int(random_() % uint64_t(count)); }

  void do_event() {
    switch (below(10)) {
      case 0:
        return begin();
      case 1:
        return below(8) == 0 ? end() : step();
      case 2:
      case 3:
        return step();
      case 4:
      case 5:
        return listen(workers_.back());
      case 6:
        // One that was replaced goes on.
        return listen(workers_[size_t(below(int(workers_.size())))]);
      case 7:
        return below(20) == 0 ? replace_worker() : deliver();
      default:
        return deliver();
    }
  }

  void begin() {
    if (sequences_.size() >= 6) return;
    const uint64_t sequence = ++last_;
    sequences_[sequence] = {.grammar = 1 + below(3), .tokens = {}};
    port_.begin(sequence, sequences_[sequence].grammar);
    ask(sequence, {});
  }

  void ask(uint64_t sequence, std::vector<int> taken) {
    Sequence& asking = sequences_[sequence];
    asking.is_asked = true;
    asking.drafts.clear();
    for (int i = below(kMostDrafts); i > 0; --i) asking.drafts.push_back(below(kVocab));
    port_.ask(sequence, std::move(taken), asking.drafts, kMostDrafts, false);
  }

  void end() {
    if (sequences_.empty()) return;
    const auto which = std::next(sequences_.begin(), below(int(sequences_.size())));
    port_.end(which->first);
    sequences_.erase(which);
  }

  // The engine takes the masks that have come, and steps.
  void step() {
    for (GrammarPort::News& news : port_.take_news()) {
      const auto found = sequences_.find(news.sequence);
      if (found == sequences_.end()) return fail("masks of a sequence that is over");
      Sequence& sequence = found->second;
      auto* masks = std::get_if<GrammarMasks>(&news.what);
      if (!masks) {
        ++result_.failures;
        port_.end(found->first);
        sequences_.erase(found);
        continue;
      }
      if (!sequence.is_asked) return fail("a second answer to one question");
      sequence.is_asked = false;
      check(sequence, *masks);
      std::vector<int> taken;
      for (int i = 1 + below(3); i > 0; --i) taken.push_back(below(kVocab));
      sequence.tokens.insert(sequence.tokens.end(), taken.begin(), taken.end());
      ask(found->first, std::move(taken));
    }
  }

  void check(const Sequence& sequence, const GrammarMasks& masks) {
    ++result_.masks;
    std::vector<int> tokens = sequence.tokens;
    std::vector<uint32_t> expected = mask_of(sequence.grammar, tokens);
    for (const int draft : masks.drafts) {
      tokens.push_back(draft);
      for (const uint32_t word : mask_of(sequence.grammar, tokens)) expected.push_back(word);
    }
    if (masks.drafts != sequence.drafts || masks.words != expected) fail("masks of other tokens");
  }

  void listen(Worker& worker) {
    for (const grammar::Message& message : port_.take(worker.number)) {
      if (const auto* begin = std::get_if<grammar::Begin>(&message)) {
        worker.runs[begin->sequence] = {begin->grammar, begin->tokens};
        result_.replayed += !begin->tokens.empty();
      } else if (const auto* over = std::get_if<grammar::End>(&message)) {
        if (worker.runs.erase(over->sequence) == 0) fail("the end of a sequence that never began");
      } else {
        answer(worker, std::get<grammar::Ask>(message));
      }
    }
  }

  void answer(Worker& worker, const grammar::Ask& ask) {
    const auto found = worker.runs.find(ask.sequence);
    if (found == worker.runs.end()) return fail("a question about a sequence that never began");
    auto& [grammar, tokens] = found->second;
    tokens.insert(tokens.end(), ask.taken.begin(), ask.taken.end());
    GrammarMasks masks{.drafts = ask.drafts, .words = mask_of(grammar, tokens)};
    std::vector<int> after = tokens;
    for (const int draft : ask.drafts) {
      after.push_back(draft);
      for (const uint32_t word : mask_of(grammar, after)) masks.words.push_back(word);
    }
    answers_.push_back({worker.number, ask.sequence, ask.step, std::move(masks)});
  }

  // Delivers an answer out of order, perhaps once more later.
  void deliver() {
    if (answers_.empty()) return;
    const auto which = answers_.begin() + below(int(answers_.size()));
    const bool is_first = !port_.has_news();
    if (below(200) == 0) which->masks.words.assign(which->masks.words.size(), 0);
    port_.give(which->worker, which->sequence, which->step, which->masks);
    if (is_first && !port_.has_news()) ++result_.dropped;
    if (below(4) != 0) answers_.erase(which);
  }

  void replace_worker() {
    ++result_.workers;
    workers_.push_back({port_.attach([] {})});
    if (workers_.size() > 3) workers_.erase(workers_.begin());
  }

  // Every question gets an answer in the end.
  void finish() {
    if (!result_.problem.empty()) return;
    listen(workers_.back());
    while (!answers_.empty()) deliver();
    replace_worker();
    listen(workers_.back());
    while (!answers_.empty()) deliver();
    const auto waited = port_.waited();
    if (waited.count() != 0) fail("a question has no answer");
  }

  void fail(const char* problem) { result_.problem = problem; }

  std::mt19937_64 random_;
  GrammarPort port_{std::make_shared<Bell>(), kVocab};
  std::vector<Worker> workers_;
  std::map<uint64_t, Sequence> sequences_;
  std::vector<Answer> answers_;
  uint64_t last_ = 0;
  GrammarRun result_;
};

}  // namespace

GrammarRun run_grammar_port(uint64_t seed, int events) { return Run(seed).run(events); }

}  // namespace kexa
