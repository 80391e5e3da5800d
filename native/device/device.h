// What a device must be able to compute: the ops of the forward pass, in the order forward.cc calls them.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "plan/host_experts.h"
#include "cache/kv_slots.h"
#include "base/profile.h"
#include "device/sampling.h"

namespace kexa {

// One token of one sequence. Prefill, decode and the checking of drafts are the same step with other rows.
struct Row {
  int token = 0;
  int slot = 0;
  int position = 0;
  int next = 0;  // the token that follows it, which the MTP block is given; where none is known yet, any
};

struct Step {
  std::vector<Row> rows;        // rows of one slot stand in the order of their positions
  std::vector<int> logit_rows;  // the rows whose logits are wanted, ascending
  // The rows go on from what was chosen last in their slot: row 0 is that token, row i the i-th draft after it, and
  // every row is a logit row. Only the device knows tokens and positions; `position` is the largest it can be.
  bool is_following = false;
  // Whether the rows are a prompt's, or of a text that is computed as one; else they are an answer's, which is computed
  // a few rows at a time. A device may have kernels for either, which round differently: so the same rows must be
  // computed as the same, however many there are.
  bool is_prompt = false;
  const std::atomic<bool>* cancelled = nullptr;  // if set, whoever waits for the step need not: Cancelled is thrown
};

// One forward, two devices: the CPU device (native/cpu) implements each op plainly and is the oracle of every
// GPU kernel. All matrices are row-major with one row per row of the step. Used by the engine thread alone.
//
// A row's result never depends on the rows it travels with: the same operations are done in the same order, as long as
// they are a prompt's rows or an answer's.
class Device {
 public:
  virtual ~Device() = default;

  // Takes the step's rows and where their keys and values go. `slots` must stay as it is until the step is over.
  virtual void begin(const Step& step, const KvSlots& slots) = 0;

  // residual = E[token]
  virtual void embed() = 0;

  // q, k, v = W norm(residual) (pre-norm) or W residual (post-norm); q and k normalised per head, then rotated on
  // layers with RoPE; k and v written to the cache.
  virtual void attention_input(int layer) = 0;

  // attended = softmax(q k / sqrt(head_dim)) v over the keys the row may see
  virtual void attention(int layer) = 0;

  // residual += o attended, normalised first on post-norm models
  virtual void attention_output(int layer) = 0;

  // residual += swiglu(norm(residual)); on post-norm models residual += norm(swiglu(residual))
  virtual void dense_ffn(int layer) = 0;

  // The experts of each row and their weights.
  virtual void route(int layer) = 0;

  // residual += the chosen experts' weighted sum + the shared expert
  virtual void experts(int layer) = 0;

  // hidden = norm(residual): the model's final norm, or the MTP block's own.
  virtual void final_norm(bool is_mtp) = 0;

  // logits = W hidden, for the step's logit rows
  virtual void head() = 0;

  // residual = fc [norm(E[next]), norm(hidden)]: the MTP block's input, the embedding's half first.
  virtual void draft_input() = 0;

  // Choosing, for steps whose rows are all of one slot. Says how the slot's tokens are chosen, and what they follow:
  // `ids`, of which the last `ids.size() - prompt_size` are the answer so far. Drafts made before are forgotten.
  virtual void begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) = 0;

  // Chooses the token after each logit row, the first one and then the next as long as that row's own token is the one
  // just chosen: a draft that was right. Afterwards the rows chosen from know their next token, and the last of them is
  // the step's only logit row.
  virtual void choose() = 0;

  // Chooses one more draft, from the MTP block's logits.
  virtual void choose_draft() = 0;

  // Prepares the next MTP step. The step has one row: its position is one after the current logit row, its hidden state
  // is the logit row's, and its token is the draft chosen last.
  virtual void begin_draft() = 0;

  // Ends the step. Returns the ticket by which take() gives what it chose.
  virtual int end_step() = 0;

  // The tokens that the step chose, none if it chose none: those of its drafts that were right, and one more. Waits for
  // the step; each ticket is taken once, or dropped. Throws KEXA_BAD_FILE if a logit was NaN or infinite, and
  // KEXA_INVALID_ARGUMENT if the bias bans every token.
  virtual std::vector<int> take(int ticket) = 0;
  virtual void drop(int ticket) = 0;

  // Steps that it pays to begin before the oldest is taken, because they run while the caller does other things. Asked
  // after a step was begun, and for that one.
  virtual int steps_ahead() const { return 0; }

  // For devices that share a model. The residual is handed over in place of embed(): [rows, hidden].
  virtual void set_residual(std::span<const float> rows) = 0;
  // The step's rows; those of a following step as they have become. Waits.
  virtual std::vector<Row> rows() const = 0;

  // What the device does between the two is counted and timed, which slows it. Nothing on a device that has no kernels.
  virtual void start_profile() {}
  virtual std::optional<Profile> take_profile() { return std::nullopt; }

  // What became of the chosen experts so far, and how often each was chosen, [layers, experts], older choices counting
  // less. Nothing on a device that holds all of them.
  virtual std::optional<ExpertTraffic> expert_traffic() const { return std::nullopt; }
  virtual std::vector<float> expert_heat() const { return {}; }

  // For tests: what the device is asked for from here on fails with KEXA_DEVICE_LOST, if it is one that can be lost.
  virtual void force_loss() {}
  // For tests: a GPU makes no buffer from here on that would take it past so many bytes.
  virtual void force_room(int64_t) {}

  // Makes room for at least `pages` pages in the global layers' cache, and keeps what is there. To be called before a
  // page is used. Returns how many pages there are then. Throws KEXA_OUT_OF_MEMORY, and then has what it had.
  virtual int hold_pages(int pages) = 0;

  // The KV cache's bytes, keys first and then values, of `count` rows of a layer that stand together (KvSlots::row()):
  // `bytes` has 2 * count * cache_row_bytes(). What bytes mean is the device's own business. Waits for what is running.
  virtual int64_t cache_row_bytes() const = 0;
  virtual void read_cache(int layer, int64_t row, int count, std::span<std::byte> bytes) = 0;
  virtual void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) = 0;

  // Reading back. The spans stay valid until the next op that writes what they show.
  virtual std::span<const float> residual() const = 0;             // [rows, hidden]
  virtual std::span<const float> hidden() const = 0;               // [rows, hidden]
  virtual std::span<const float> logits(int logit_row) const = 0;  // [vocab]: of step.logit_rows[logit_row]
  virtual std::span<const int> route_experts() const = 0;          // [rows, top_k], best first
  virtual std::span<const float> route_weights()
      const = 0;  // [rows, top_k], what each expert's output is multiplied by
};

}  // namespace kexa
