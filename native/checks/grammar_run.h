// Random answers against GrammarPort, with workers that are late, repeat themselves, overtake each other and die.
#pragma once

#include <cstdint>
#include <string>

namespace kexa {

struct GrammarRun {
  std::string problem;  // empty: none
  int64_t masks = 0, dropped = 0, workers = 0, replayed = 0, failures = 0;
};

// Does `events` random events, and ends at the first problem: masks that are not of the sequence's tokens now, or that
// never come.
GrammarRun run_grammar_port(uint64_t seed, int events);

}  // namespace kexa
