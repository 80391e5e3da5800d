// What the engine thread tells whoever asked for something, and how it is told to stop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "decode/logprobs.h"
#include "plan/host_experts.h"
#include "base/profile.h"

namespace kexa {

// One lock for an engine and all its channels: they hand over little, and seldom.
struct Bell {
  std::mutex mutex;
  std::condition_variable rung;  // waited on by the engine thread alone
};

namespace event {
struct Progress {
  int64_t done_bytes, total_bytes;
};
// The prompt was looked up in the cache.
struct Started {
  int cached_tokens;
};
// The prompt's tokens so far, those that were cached included, of all.
struct Prompt {
  int done, total;
};
struct Tokens {
  std::vector<Choice> choices;
  struct Draft {
    int drafted, accepted;
  };
  std::vector<Draft> drafts;  // one a speculative step
  // What drafting has saved in this answer's timed steps before, if a step without it was ever timed.
  std::optional<int64_t> saved_ns;
};
struct Route {
  int layer;
  std::vector<uint32_t> experts;  // [rows, top_k]
  std::vector<float> weights;     // [rows, top_k]
};
struct Forwarded {
  std::vector<float> logits;               // [rows or 1, vocab]
  std::vector<float> mtp_logits;           // [rows - 1, vocab]
  std::vector<std::vector<float>> layers;  // [rows, hidden] each
  std::vector<float> hidden;               // [rows, hidden]
  std::vector<Route> routes;
  std::optional<Profile> profile;  // of all chunks together
};
// One op, measured by itself.
struct Measured {
  std::vector<double> nanoseconds;         // of one call, as many as there were repetitions
  std::vector<double> encode_nanoseconds;  // of steps: until all is handed to the device
  int calls = 0;                           // of a repetition
  bool is_device_time = false;             // else by the clock, what it takes to ask the device included
  int experts_read = 0;                    // different ones that the rows were sent to
  std::optional<Profile> profile;          // of one call, on a device that has kernels
};
struct Scored {
  std::vector<float> logprobs;
};
// The answer is over. Times are the engine's own work on it, not its waiting for a reader.
struct Ended {
  bool is_length;  // else an end-of-turn token
  int64_t prefill_ns, decode_ns;
  int prefill_tokens;
  std::optional<int64_t> saved_ns;  // as in Tokens, the last step included
  // Of decode_ns, what handing steps to the device took; none where the device computes in the call itself.
  std::optional<int64_t> encode_ns;
  struct Counts {
    StepCounts prefill, decode;
    std::vector<float> logits;  // [vocab], that the last token was chosen from
  };
  std::optional<Counts> counts;          // if a profile was wanted
  std::optional<ExpertTraffic> experts;  // where not all of them are on the GPU
};
// How often each routed expert was chosen, [layers, experts]; empty where all are on the device.
struct ExpertHeat {
  std::vector<float> heat;
};
// What a session has cached now.
struct Kept {
  int tokens;
};
struct Done {};
struct Failed {
  std::string code, message;
};
struct Stopped {};  // because it was asked to
}  // namespace event

using Event = std::variant<event::Progress, event::Started, event::Prompt, event::Tokens, event::Forwarded,
                           event::Measured, event::Scored, event::Ended, event::ExpertHeat, event::Kept, event::Done,
                           event::Failed, event::Stopped>;

// A bounded queue from the engine thread to one reader, who may be slow, or gone.
class Channel {
 public:
  explicit Channel(std::shared_ptr<Bell> bell) : bell_(std::move(bell)) {}

  // Engine thread. Tokens join the last event if it holds tokens too, and the prompt's progress replaces what came
  // before of it; the other kinds queue up. Does not throw: where there is no memory left for an event the request is
  // cancelled, and its reader finds a Failed.
  void push(Event event) noexcept;
  // Pushes a Failed.
  void fail(const char* code, const char* message) noexcept;
  void fail(const std::exception_ptr& exception) noexcept;
  // Engine thread, with the bell locked: whether a reader has left more tokens unread than the engine may run ahead.
  bool is_full() const { return waiting_tokens_ >= kRunAhead; }
  const std::atomic<bool>& cancelled() const { return cancelled_; }

  // Any thread.
  void cancel();

  // Reader's thread: everything that has come so far.
  std::vector<Event> take();
  // Reader's thread. `wake` is called on the engine thread whenever something has come; it must not block. Once
  // detach() has returned it is not called again.
  void attach(std::function<void()> wake);
  void detach();

 private:
  // Tokens computed before anybody reads them. Bounds what a reader who stops has wasted.
  static constexpr size_t kRunAhead = 32;

  std::shared_ptr<Bell> bell_;
  void join(Event& event);
  template <typename Make>
  void push_made(const Make& make) noexcept;
  void lose() noexcept;

  std::vector<Event> events_;
  bool is_lost_ = false;  // an event could not be kept
  size_t waiting_tokens_ = 0;
  std::function<void()> wake_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace kexa
