// Decides who starts, who waits and who gives up room. Only numbers go in, so that it can be checked without a device.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

namespace kexa {

// The room that one sequence has and wants. A session without a running request is no claim: its pages count as free.
struct Claim {
  enum class State {
    kWaiting,  // never started
    kRunning,
    kParked,  // its rows are in main memory
  };
  uint64_t id = 0;
  int priority = 0;  // the higher goes first
  uint64_t arrival = 0;
  uint64_t started = 0;  // number of its first start; these count up from 1. 0: it is waiting
  State state = State::kWaiting;
  bool is_stalled = false;     // its reader is slow
  bool awaits_prompt = false;  // it waits for another's prompt, which has tokens of its own and is being computed
  int held_pages = 0;          // would be free if it were parked
  // Pages that it has still to take: for the rest of its prompt, or its parked rows, and the expected growth.
  int wanted_pages = 0;
  int most_wanted_pages = 0;  // the same if its answer becomes as long as it may
  int times_parked = 0;       // only while its reader was not slow
};

struct Room {
  int free_slots = 0;  // with those of idle sessions
  int free_pages = 0;  // with those that kept prefixes and idle sessions would give up
};

// A sequence is parked at most this often, apart from times when its reader was slow.
constexpr int kMostParks = 3;

// The rules:
// - First come, first served, the higher priority first. Nobody overtakes the first in the line that waits for room, so
//   a large request does not starve.
// - A sequence starts when its whole prompt and the expected growth fit beside what the running ones still want. If
//   nobody runs, the first starts in any case.
// - A parked one also needs a page for each running one. Parked twice, it starts again only if it fits even if its
//   answer becomes as long as it may, or if it is the oldest; parked three times, only if it is the oldest. Others of
//   its priority may overtake it meanwhile.
// - One that waits for another's prompt is in no line.
// - A sequence whose reader is slow is parked first, and stays parked while the reader is slow.
//
// The oldest, by `started`, is never parked. It can take from all others, so it ends; then another is the oldest.
// So every request ends. One that runs again after it was parked three times counts as the oldest until it ends, even
// if a slow reader of an older one reads again meanwhile.

// The claim that starts next, or goes on after it was parked. Nothing if none fits.
std::optional<uint64_t> to_admit(std::span<const Claim> claims, const Room& room);

// The claim to park so that the next in the line can start: one whose reader is slow, or one of a lower priority.
// Nothing if no such claim would make enough room. To be called only if to_admit() found nothing; it may name another
// after that one was parked.
std::optional<uint64_t> to_give_way(std::span<const Claim> claims, const Room& room);

// The claim to park so that the running claim `for_whom` gets pages: one whose reader is slow, else the youngest of the
// lowest priority. Nothing if `for_whom` would be that one; it keeps what it has and waits. Nothing, too, if nobody
// else has pages; then `for_whom` fails if it is alone.
std::optional<uint64_t> to_park(std::span<const Claim> claims, uint64_t for_whom);

// Expects how long answers become, from the lengths of recent ones.
class GrowthGuess {
 public:
  // Tells the length of an answer that has ended.
  void ended(int tokens);
  // Tokens that an answer of `tokens` tokens is expected to grow by: the 80th percentile of the recent answers that
  // were longer, at most `most_left`.
  int growth(int tokens, int most_left) const;

 private:
  std::deque<int> lengths_;
};

}  // namespace kexa
