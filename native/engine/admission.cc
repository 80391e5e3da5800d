#include "engine/admission.h"

#include <algorithm>
#include <vector>

namespace kexa {
namespace {

using Claims = std::span<const Claim>;

constexpr size_t kRecentAnswers = 256;
// Tokens that the first answers are expected to have.
constexpr int kFirstGuess = 256;

bool is_running(const Claim& claim) { return claim.state == Claim::State::kRunning; }

// It starts only as the oldest, and is then not parked again.
bool is_final(const Claim& claim) { return claim.times_parked >= kMostParks; }

// The oldest of the claims that `is_wanted` accepts. Null if there is none.
template <typename Wanted>
const Claim* oldest(Claims claims, const Wanted& is_wanted) {
  const Claim* found = nullptr;
  for (const Claim& claim : claims)
    if (claim.started && is_wanted(claim) && (!found || claim.started < found->started)) found = &claim;
  return found;
}

// Whether it is the oldest of those that could run now.
bool is_oldest(Claims claims, const Claim& claim) {
  return &claim == oldest(claims, [](const Claim& one) { return !one.is_stalled; });
}

// The running claim that is never parked and takes from all others.
const Claim* leader(Claims claims) {
  const Claim* last =
      oldest(claims, [](const Claim& one) { return is_running(one) && is_final(one) && !one.is_stalled; });
  return last ? last : oldest(claims, [](const Claim& one) { return is_running(one) && !one.is_stalled; });
}

int running(Claims claims) { return int(std::count_if(claims.begin(), claims.end(), is_running)); }

// Pages that no running claim still wants.
int unclaimed_pages(Claims claims, const Room& room) {
  int pages = room.free_pages;
  for (const Claim& claim : claims)
    if (is_running(claim)) pages -= claim.wanted_pages;
  return pages;
}

bool fits(Claims claims, const Claim& claim, const Room& room) {
  if (room.free_slots <= 0) return false;
  const int others = running(claims);
  if (others == 0) return true;
  const int needed = claim.wanted_pages + (claim.state == Claim::State::kParked ? others : 0);
  return needed <= unclaimed_pages(claims, room);
}

// Whether a parked claim must wait until others have ended, however much room there is now.
bool is_held_back(Claims claims, const Claim& claim, const Room& room) {
  if (claim.state != Claim::State::kParked || claim.times_parked + 1 < kMostParks) return false;
  if (running(claims) == 0) return false;
  if (is_final(claim))
    return !is_oldest(claims, claim) ||
           std::any_of(claims.begin(), claims.end(), [](const Claim& one) { return is_running(one) && is_final(one); });
  return !is_oldest(claims, claim) && claim.most_wanted_pages + running(claims) > unclaimed_pages(claims, room);
}

// The first in the line, which nobody overtakes. Null if nobody is in it.
const Claim* first_in_line(Claims claims, const Room& room) {
  std::vector<const Claim*> line;
  for (const Claim& claim : claims)
    if (!is_running(claim) && !claim.awaits_prompt && !(claim.state == Claim::State::kParked && claim.is_stalled))
      line.push_back(&claim);
  std::sort(line.begin(), line.end(), [](const Claim* a, const Claim* b) {
    return a->priority != b->priority ? a->priority > b->priority : a->arrival < b->arrival;
  });
  for (const Claim* claim : line) {
    if (claim->priority < line.front()->priority)
      break;  // a lower priority starts only if nobody of a higher one waits
    if (!is_held_back(claims, *claim, room)) return claim;
  }
  return nullptr;
}

// Whether `a` is parked rather than `b`.
bool goes_first(const Claim& a, const Claim& b) {
  if (a.is_stalled != b.is_stalled) return a.is_stalled;
  if (a.priority != b.priority) return a.priority < b.priority;
  return a.started > b.started;
}

bool can_be_parked(Claims claims, const Claim& claim) {
  return is_running(claim) && (claim.is_stalled || (!is_final(claim) && &claim != leader(claims)));
}

}  // namespace

std::optional<uint64_t> to_admit(std::span<const Claim> claims, const Room& room) {
  const Claim* first = first_in_line(claims, room);
  if (!first || !fits(claims, *first, room)) return std::nullopt;
  return first->id;
}

std::optional<uint64_t> to_give_way(std::span<const Claim> claims, const Room& room) {
  const Claim* first = first_in_line(claims, room);
  if (!first) return std::nullopt;
  // Whether the first would fit if all that could give way did.
  std::vector<Claim> left;
  Room most = room;
  const Claim* found = nullptr;
  for (const Claim& claim : claims) {
    const bool gives_way = can_be_parked(claims, claim) && (claim.is_stalled || claim.priority < first->priority);
    if (!gives_way) {
      left.push_back(claim);
      continue;
    }
    if (!found || goes_first(claim, *found)) found = &claim;
    ++most.free_slots;
    most.free_pages += claim.held_pages;
  }
  if (!found || !fits(left, *first, most)) return std::nullopt;
  return found->id;
}

std::optional<uint64_t> to_park(std::span<const Claim> claims, uint64_t for_whom) {
  const auto asking =
      std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) { return claim.id == for_whom; });
  const Claim* found = nullptr;
  for (const Claim& claim : claims)
    if (claim.id != for_whom && claim.held_pages > 0 && can_be_parked(claims, claim) &&
        (!found || goes_first(claim, *found)))
      found = &claim;
  if (!found || asking == claims.end()) return std::nullopt;
  if (can_be_parked(claims, *asking) && !asking->is_stalled && goes_first(*asking, *found)) return std::nullopt;
  return found->id;
}

void GrowthGuess::ended(int tokens) {
  lengths_.push_back(tokens);
  if (lengths_.size() > kRecentAnswers) lengths_.pop_front();
}

int GrowthGuess::growth(int tokens, int most_left) const {
  std::vector<int> longer;
  for (const int length : lengths_)
    if (length > tokens) longer.push_back(length - tokens);
  int guess = std::max(tokens, kFirstGuess);  // an answer longer than all others is expected to double
  if (!longer.empty()) {
    const auto place = longer.begin() + std::ptrdiff_t((longer.size() - 1) * 4 / 5);
    std::nth_element(longer.begin(), place, longer.end());
    guess = *place;
  }
  return std::min(guess, most_left);
}

}  // namespace kexa
