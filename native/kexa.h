// kexa's core, for the addon and for native programs. Any thread may make a request. The engine's one thread, which
// owns the weights, the cache and the device, answers each request through a Channel. A program that prints an answer's
// ids:
//
//   kexa::Engine engine(description, options);
//   const auto loading = engine.load(0);
//   kexa::GenerateParams params;
//   params.max_tokens = 8;
//   const auto reply = engine.generate(1, {5, 6, 7}, params);
//   std::counting_semaphore woken(0);
//   reply->attach([&] { woken.release(); });
//   for (bool is_over = false; !is_over;) {
//     for (const kexa::Event& event : reply->take()) {
//       if (const auto* tokens = std::get_if<kexa::event::Tokens>(&event))
//         for (const kexa::Choice& choice : tokens->choices) std::printf("%d\n", choice.token);
//       if (const auto* failed = std::get_if<kexa::event::Failed>(&event)) std::puts(failed->message.c_str());
//       is_over = std::holds_alternative<kexa::event::Ended>(event) ||
//                 std::holds_alternative<kexa::event::Failed>(event);
//     }
//     if (!is_over) woken.acquire();
//   }
//   reply->detach();
//
// `options` need at least context_size, prefill_chunk and threads. Token ids are in [0, vocab); the caller checks them.
//
// Every channel ends with the last of the events that its request names, with Failed, or with Stopped after the reader
// cancelled it. Any request can fail with KEXA_CLOSED, KEXA_OUT_OF_MEMORY or KEXA_DEVICE_LOST. A request that runs the
// model can also fail with KEXA_CONTEXT_FULL, or with KEXA_BAD_FILE if a logit is NaN or infinite or a file was cut
// short.
#pragma once

#include <chrono>
#include <memory>

#include "base/error.h"
#include "device/sampling.h"
#include "engine/channel.h"
#include "engine/stats.h"
#include "plan/plan.h"

namespace kexa {

struct ForwardParams {
  bool wants_all_logits = true;  // logits of all rows; false: of the last one only
  bool wants_mtp = false;        // runs the MTP block too, for mtp_logits
  bool wants_trace = false;      // residual after each layer, final hidden states and routes
  bool wants_profile = false;    // times the device's work, which slows it
  // Number of leading tokens that only fill the cache, in ordinary prompt chunks. Logits come for the last of them and
  // for every later row.
  int lead_rows = 0;
  // Rows of each step after the leading ones, at most a chunk. 1 runs them as decoding does, 1 + n as n drafts are
  // checked. 0: a chunk.
  int step_rows = 0;
};

// An op of Device to time, or "step": a whole step with choosing, each of which is awaited.
struct OpMeasurement {
  std::string op;
  std::vector<int> layers;  // called in turns; any one layer for ops that have none
  int rows = 1;
  int repetitions = 1;
  int64_t least_ns = 0;  // a repetition repeats the call until this much time has passed
};

struct MeasureParams {
  int depth = 0;  // tokens in the cache before the rows
  std::vector<OpMeasurement> ops;
};

struct GenerateParams {
  SamplingParams sampling;
  int logprobs = -1;   // number of alternatives beside the chosen token; -1: no log-probabilities
  int max_tokens = 0;  // 0: the prompt is computed and stays in the session's cache
  // The number of tokens that the prompt of the conversation's next turn will have in common with this one. The cache
  // of these tokens is kept, so that the next turn can continue there. 0: nothing is kept.
  int keep_at = 0;
  int priority = 0;  // the higher goes first
  // Requests of a group, whose number is not 0, have the same prompt. It is computed once, by the first that starts.
  uint64_t group = 0;
  int group_size = 0;
  int grammar = 0;              // number of the answer's grammar at the engine's GrammarPort; 0: it has none
  bool forces_tokens = true;    // a token that is the only one the grammar allows counts as a draft
  int drafts = 0;               // tokens that the MTP block drafts in a step, up to kMaxDrafts; -1: as many as pay
  bool wants_profile = false;   // counts the work of the steps, which slows them
  std::vector<int> end_tokens;  // each of them ends the answer, and is its last token
};

class GrammarPort;

class Engine {
 public:
  // Plans the memory and starts the thread; allocates nothing large. Throws the errors of make_plan(), and
  // KEXA_OUT_OF_MEMORY if the system starts no thread.
  Engine(ModelDescription description, const PlanOptions& options);
  // Makes the thread stop between two layers, whatever it is doing. Does not wait: the thread frees everything later.
  ~Engine();
  // Stops the thread too, and waits for it, at most for `most`. Returns whether it has ended. No request may follow.
  bool stop(std::chrono::milliseconds most);

  const ModelDescription& description() const;
  const Plan& plan() const;

  // Maps the weights and allocates the device's buffers. Files of at most `warm_limit` bytes together are read once, so
  // that the first step need not wait for the disk. Must be the first request; later ones wait for it. Fails with
  // KEXA_NOT_FOUND, KEXA_BAD_FILE, KEXA_TENSOR_MISMATCH, KEXA_UNSUPPORTED or KEXA_NO_DEVICE. Events: Progress..., Done.
  std::shared_ptr<Channel> load(int64_t warm_limit);

  // Runs `ids` from an empty cache. Forwarded has logits [rows or 1, vocab]. Events: Forwarded.
  std::shared_ptr<Channel> forward(std::vector<int> ids, const ForwardParams& params);

  // Computes ln p(ids[i + 1] | ids[0..i]) for each i: ids.size() - 1 numbers. Events: Scored.
  // Each comes with the `alternatives` best tokens of its place.
  std::shared_ptr<Channel> score(std::vector<int> ids, int alternatives);

  // Continues `ids`. The prefix that the session's cache already has is not computed again. Sessions are numbers that
  // the caller chooses, from 1 on. Fails with KEXA_INVALID_ARGUMENT if the bias bans every token. Events: Started,
  // Prompt..., Tokens..., Ended.
  std::shared_ptr<Channel> generate(uint64_t session, std::vector<int> ids, const GenerateParams& params);

  // Times each op on rows of arbitrary tokens. Events: Measured for each op, Done.
  std::shared_ptr<Channel> measure(MeasureParams params);

  // Gives `session`, which has no cache yet, the cached tokens of `parent`. The two share pages. Events: Kept.
  std::shared_ptr<Channel> fork(uint64_t session, uint64_t parent);

  // Cuts the session's cache to its first `length` tokens, or to none if the sliding layers' rings no longer reach back
  // so far. Events: Kept.
  std::shared_ptr<Channel> rewind(uint64_t session, int length);

  // Writes the session's cache to a file. Fails with KEXA_WRITE_FAILED, and with KEXA_INVALID_ARGUMENT if nothing is
  // cached. Events: Kept.
  std::shared_ptr<Channel> save(uint64_t session, std::string path);
  // Reads such a file into a session that has no cache. The errors are those of SessionFile::load(). Events: Kept.
  std::shared_ptr<Channel> load_session(uint64_t session, std::string path);

  // Tells what the engine has done and is doing. Never waits for its thread. After close() the counts stay.
  EngineStats stats() const;

  // Forgets the session's cache.
  void end_session(uint64_t session);

  // Tells how often each routed expert was chosen [layers, experts], for PlanOptions::expert_heat. Events: ExpertHeat.
  std::shared_ptr<Channel> expert_heat();

  // Where grammar workers tell what constrained answers may have next.
  const std::shared_ptr<GrammarPort>& grammars() const;

  // For tests: loses the GPU between two steps. Events: Done.
  std::shared_ptr<Channel> force_device_loss();
  // For tests: from now on the GPU (of several, the last) has room for only this many bytes of buffers. Events: Done.
  std::shared_ptr<Channel> force_device_room(int64_t bytes);

  // Ends all requests with KEXA_CLOSED and frees everything. Later requests fail too. Events: Done.
  std::shared_ptr<Channel> close();

 private:
  struct State;
  template <typename MakeJob>
  std::shared_ptr<Channel> post(const MakeJob& make_job);

  const std::shared_ptr<State> state_;  // shared with the thread
};

// Stops every engine of this process as Engine::stop() does, and waits for their threads, at most for `most`. Returns
// whether all have ended. To be called before the process ends, because the process must not take down libraries that a
// thread is using.
bool stop_all_engines(std::chrono::milliseconds most);

}  // namespace kexa
