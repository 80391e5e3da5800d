// The events by which the engine's thread answers a request, and the way to stop it.
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

#include "base/profile.h"
#include "device/sampling.h"
#include "plan/host_experts.h"

namespace kexa {

// One lock for an engine and all its channels, because they hand over little, and seldom.
struct Bell {
  std::mutex mutex;
  std::condition_variable rung;  // only the engine's thread waits on it
};

namespace event {
struct Progress {
  int64_t done_bytes, total_bytes;
};
// The prompt was looked up in the cache, which has this many of its tokens.
struct Started {
  int cached_tokens;
  int64_t waited_ns;  // from the request's coming to its start
};
// Progress of the prompt: `done` of its `total` tokens are in the cache.
struct Prompt {
  int done, total;
};
struct Tokens {
  std::vector<Choice> choices;
  struct Draft {
    int drafted, accepted;
  };
  std::vector<Draft> drafts;  // one for each speculative step
  // Time that drafts have saved in the timed steps of this answer so far. Empty if no step without drafts was ever
  // timed.
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
  std::optional<Profile> profile;  // all chunks together
};
// The times of one op that ran by itself.
struct Measured {
  std::vector<double> nanoseconds;         // one call, in each repetition
  std::vector<double> encode_nanoseconds;  // for steps: the time until all is handed to the device
  int calls = 0;                           // in each repetition
  bool is_device_time = false;             // false: wall time, which includes the call of the device
  int experts_read = 0;                    // distinct experts that the rows were sent to
  std::optional<Profile> profile;          // of one call; empty on a device without kernels
};
struct Scored {
  std::vector<Choice> choices;  // the tokens after the first
};
// The end of an answer. Times count the engine's work on it, not its waiting for a reader.
struct Ended {
  bool is_length;  // false: the last token ends a turn
  int64_t prefill_ns, decode_ns;
  int prefill_tokens;
  std::optional<int64_t> saved_ns;  // as in Tokens, with the last step
  // The part of decode_ns that went into handing steps to the device. Empty if the device computes within the call.
  std::optional<int64_t> encode_ns;
  struct Counts {
    StepCounts prefill, decode;
    std::vector<float> logits;  // [vocab]: the last token was chosen from them
  };
  std::optional<Counts> counts;          // empty unless a profile was wanted
  std::optional<ExpertTraffic> experts;  // empty if all experts are on the GPU
  int parked = 0;                        // how often it gave up its room to others
};
// How often each routed expert was chosen [layers, experts]. Empty if all are on the device.
struct ExpertHeat {
  std::vector<float> heat;
};
// The number of tokens that a session has cached now.
struct Kept {
  int tokens;
};
struct Done {};
struct Failed {
  std::string code, message;
};
struct Stopped {};  // the reader had cancelled
}  // namespace event

using Event = std::variant<event::Progress, event::Started, event::Prompt, event::Tokens, event::Forwarded,
                           event::Measured, event::Scored, event::Ended, event::ExpertHeat, event::Kept, event::Done,
                           event::Failed, event::Stopped>;

// A bounded queue from the engine's thread to one reader, who may be slow or gone.
class Channel {
 public:
  explicit Channel(std::shared_ptr<Bell> bell) : bell_(std::move(bell)) {}

  // Engine's thread. New tokens join the last event if it has tokens too, and the prompt's progress replaces earlier
  // progress; other events queue up. Never throws: if there is no memory for an event, the request is cancelled and its
  // reader finds a Failed.
  void push(Event event) noexcept;
  // Pushes a Failed.
  void fail(const char* code, const char* message) noexcept;
  void fail(const std::exception_ptr& exception) noexcept;
  // Engine's thread, with the bell locked: whether the reader has left kRunAhead tokens unread.
  bool is_full() const { return waiting_tokens_ >= kRunAhead; }
  const std::atomic<bool>& cancelled() const { return cancelled_; }
  // For ForwardHooks: whether the reader still waits. The channel must outlive it.
  std::function<bool()> is_wanted() const {
    return [this] { return !cancelled_.load(std::memory_order_relaxed); };
  }

  // Any thread.
  void cancel();

  // Reader's thread: takes all events so far.
  std::vector<Event> take();
  // Reader's thread. The engine's thread calls `wake` whenever an event has come. `wake` must not block. It is not
  // called any more once detach() has returned.
  void attach(std::function<void()> wake);
  void detach();

 private:
  // Tokens that are computed before anybody reads them. This bounds the waste if the reader stops.
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
