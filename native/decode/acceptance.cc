#include "decode/acceptance.h"

#include <algorithm>

namespace kexa {
namespace {

constexpr double kKeepRight = 0.97, kKeepResting = 0.8;
// The assumed chance that a first draft is right, before any was judged, with the weight of a few drafts. K-EXAONE's
// report and our own measurements agree with it.
constexpr double kFirstGuess = 0.7, kGuessWeight = 4;

}  // namespace

double expected_tokens(const Chances& chances, int drafts) {
  double all = 0, chance = 1;
  for (int place = 0; place < drafts; ++place) all += chance *= chances[place];
  return all;
}

void Acceptance::judged(int drafts, int accepted) {
  for (int place = 0; place < std::min(drafts, accepted + 1); ++place) {
    Average& right = right_[place];
    right.weight = right.weight * kKeepRight + 1;
    right.value += ((place < accepted ? 1.0 : 0.0) - right.value) / right.weight;
  }
}

void Acceptance::rested() {
  for (Average& right : right_) right.weight *= kKeepResting;
}

Chances Acceptance::chances(const Chances& expected) const {
  Chances found;
  for (int place = 0; place < kMaxDrafts; ++place) {
    const Average& right = right_[place];
    found[place] = (right.value * right.weight + expected[place] * kGuessWeight) / (right.weight + kGuessWeight);
  }
  return found;
}

Chances Acceptance::chances() const {
  Chances found;
  double guess = kFirstGuess;
  for (int place = 0; place < kMaxDrafts; ++place) {
    const Average& right = right_[place];
    guess = (right.value * right.weight + guess * kGuessWeight) / (right.weight + kGuessWeight);
    found[place] = guess;
  }
  return found;
}

}  // namespace kexa
