// kexa's core, as the addon and native programs see it.
//
//   kexa::Engine engine(description, options);
//   auto loading = engine.load(warm_limit);              // Progress..., Done
//   auto reply = engine.generate(session, ids, params);  // Started, Tokens..., Ended
//
// Everything is asked for from any thread and answered through a Channel by the engine's one thread, which owns the
// weights, the cache and the device.
#pragma once

#include <chrono>
#include <memory>

#include "base/error.h"
#include "engine/channel.h"
#include "plan/plan.h"
#include "device/sampling.h"

namespace kexa {

struct ForwardParams {
  bool wants_all_logits = true;
  bool wants_mtp = false;
  bool wants_trace = false;
  bool wants_profile = false;
  // Number of leading tokens that only fill the cache, in ordinary prompt chunks. Logits come for the last of them and
  // for every later row.
  int lead_rows = 0;
  // Rows of each step after those, at most a chunk: 1 runs them as decoding does, 1 + n as n drafts are checked. 0: a
  // chunk.
  int step_rows = 0;
};

// An op of Device, or "step": a whole step with choosing, each waited for.
struct OpMeasurement {
  std::string op;
  std::vector<int> layers;  // taken in turns; one for ops that have no layer
  int rows = 1;
  int repetitions = 1;
  int64_t least_ns = 0;  // a repetition calls it as often as takes this long
};

struct MeasureParams {
  int depth = 0;  // tokens in the context before
  std::vector<OpMeasurement> ops;
};

struct GenerateParams {
  SamplingParams sampling;
  int logprobs = -1;  // -1: none wanted; else alternatives beside the chosen token
  int max_tokens = 0;
  // Where the prompt of the conversation's next turn will leave this one, in tokens from its start: to be kept, so that
  // the next turn can go on from there. 0: nowhere.
  int keep_at = 0;
  int drafts = 0;  // tokens the MTP block guesses ahead a step, up to kMaxDrafts; 0: none; -1: as many as pay
  bool wants_profile = false;   // counts what the steps do, which slows them
  std::vector<int> end_tokens;  // any of them ends the answer, and is its last token
};

class Engine {
 public:
  // Starts the thread; allocates nothing large. Throws what make_plan() throws, and KEXA_OUT_OF_MEMORY if the system
  // starts no thread.
  Engine(ModelDescription description, const PlanOptions& options);
  // Has the thread stop between two layers, whatever is going on. Does not wait: the thread frees everything, some day.
  ~Engine();
  // The same, and waits for the thread, for `most` at most. Returns whether it has ended. Nothing may be asked for
  // later.
  bool stop(std::chrono::milliseconds most);

  const ModelDescription& description() const;
  const Plan& plan() const;

  // Maps the weights and allocates the rest. Files up to `warm_limit` bytes are read through once. Must come first;
  // what is asked for after it waits for it. Events: Progress..., Done.
  std::shared_ptr<Channel> load(int64_t warm_limit);

  // One pass over `ids` from an empty cache. Events: Forwarded.
  std::shared_ptr<Channel> forward(std::vector<int> ids, const ForwardParams& params);

  // ln p(ids[i + 1] | ids[0..i]) for each i. Events: Scored.
  std::shared_ptr<Channel> score(std::vector<int> ids);

  // Continues `ids`. What the session's cache shares with them is not computed again. Events: Started, Prompt...,
  // Tokens..., Ended.
  std::shared_ptr<Channel> generate(uint64_t session, std::vector<int> ids, const GenerateParams& params);

  // Times each op on rows of tokens that mean nothing. Events: Measured, one an op; Done.
  std::shared_ptr<Channel> measure(MeasureParams params);

  // Gives `session`, which has none, what the cache holds of `parent`. Pages are shared. Events: Kept.
  std::shared_ptr<Channel> fork(uint64_t session, uint64_t parent);

  // Keeps the first `length` tokens of the session's cache, or none if sliding layers no longer reach back so far.
  // Events: Kept.
  std::shared_ptr<Channel> rewind(uint64_t session, int length);

  // The session's cache to a file, and a file to the cache of a session that has none (native/engine/session_file.h).
  // Events: Kept.
  std::shared_ptr<Channel> save(uint64_t session, std::string path);
  std::shared_ptr<Channel> load_session(uint64_t session, std::string path);

  // Forgets the session's cache.
  void end_session(uint64_t session);

  // How often each routed expert was chosen, for PlanOptions::expert_heat. Events: ExpertHeat.
  std::shared_ptr<Channel> expert_heat();

  // For tests: loses the GPU, between two steps of what is going on. Events: Done.
  std::shared_ptr<Channel> force_device_loss();
  // For tests: from here on the GPU (of several the last) has room for so many bytes of buffers in all. Events: Done.
  std::shared_ptr<Channel> force_device_room(int64_t bytes);

  // Fails what is going on with KEXA_CLOSED and frees everything. Events: Done. What is asked for later fails too.
  std::shared_ptr<Channel> close();

  // Every channel may also end with Failed, or with Stopped after it was cancelled.

 private:
  struct State;
  template <typename MakeJob>
  std::shared_ptr<Channel> post(const MakeJob& make_job);

  const std::shared_ptr<State> state_;  // the thread's too
};

// Stops every engine of this process, as Engine::stop() does, and waits for their threads, for `most` at most. Returns
// whether all have ended. To be called before the process ends: libraries that a thread is using must not be taken
// down.
bool stop_all_engines(std::chrono::milliseconds most);

}  // namespace kexa
