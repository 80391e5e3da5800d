// What a device must be able to compute: the ops of the forward pass, in the order forward.cc calls them.
#pragma once

#include <span>
#include <vector>

#include "plan/kv_slots.h"

namespace kexa {

// One token of one sequence. Prefill, decode and the checking of drafts are the same step with other rows.
struct Row {
  int token = 0;
  int slot = 0;
  int position = 0;
};

struct Step {
  std::vector<Row> rows;        // rows of one slot stand in the order of their positions
  std::vector<int> logit_rows;  // the rows whose logits are wanted, ascending
};

// One forward, two devices: the CPU device (native/reference) implements each op plainly and is the oracle of every
// GPU kernel. All matrices are row-major with one row per row of the step. Used by the engine thread alone.
//
// A row's result never depends on the rows it travels with: the same operations are done in the same order.
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

  // As begin(), for a step of one row whose hidden state is `hidden_row` of the step before: a draft after a draft.
  virtual void begin_draft(const Step& step, const KvSlots& slots, int hidden_row) = 0;

  // residual = fc [norm(E[next_tokens]), norm(hidden)]: the MTP block's input, the embedding's half first.
  // The step's logit rows may have been changed since begin().
  virtual void draft_input(std::span<const int> next_tokens) = 0;

  // Reading back. The spans stay valid until the next op that writes what they show.
  virtual std::span<const float> residual() const = 0;             // [rows, hidden]
  virtual std::span<const float> hidden() const = 0;               // [rows, hidden]
  virtual std::span<const float> logits(int logit_row) const = 0;  // [vocab]: of step.logit_rows[logit_row]
  virtual std::span<const int> route_experts() const = 0;          // [rows, top_k], best first
  virtual std::span<const float> route_weights()
      const = 0;  // [rows, top_k], what each expert's output is multiplied by
};

}  // namespace kexa
