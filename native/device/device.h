// The contract of a device: the ops of the forward pass, in the order in which forward.cc calls them.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/profile.h"
#include "cache/kv_slots.h"
#include "device/sampling.h"
#include "plan/host_experts.h"

namespace kexa {

// One token of one sequence. Prefill, decode and the checking of drafts are the same step with different rows.
struct Row {
  int token = 0;
  int slot = 0;
  int position = 0;
  int next = 0;  // the token that follows, an input of the MTP block; any token if it is not known yet
};

// The rows of one sequence in a step, which stand next to each other.
struct Group {
  int slot = 0;
  int first_row = 0, rows = 0;  // in Step::rows
  // The rows continue the slot's last choice: the first is the token chosen last, row i the i-th draft after it. All
  // are logit rows. Only the device knows their tokens and positions; Row::position is the largest that it can be.
  bool is_following = false;
  bool chooses = false;       // a token is chosen after its logit rows
  int drafts = 0;             // tokens that the MTP block drafts after the choice
  bool wants_logits = false;  // Chosen has the logits that its tokens were chosen from
  // How many alternatives' log-probabilities Chosen has, beside those of its tokens: at most kMostAlternatives. -1: no
  // log-probabilities at all.
  int alternatives = -1;
  // [logit rows, mask_words(vocab)], for each logit row a bit for each token that may be chosen: token 0 is the lowest
  // bit of word 0. Null: every token may be chosen. Drafts are made without the mask.
  std::shared_ptr<const std::vector<uint32_t>> masks;
};

struct Step {
  std::vector<Row> rows;        // rows of one slot stand in the order of their positions
  std::vector<int> logit_rows;  // the rows whose logits are wanted, ascending
  // The groups of a step that chooses tokens or runs the MTP block after a choice. They cover the rows in order, at
  // most one for each slot, and the ones with more drafts come first. Other steps need none.
  std::vector<Group> groups;
  // The MTP block runs over the first rows, which are those of whole groups. -1: over all rows.
  int mtp_rows = -1;
  // True if the rows belong to prompts, or to texts that are computed like one. False if they belong to answers, which
  // are computed a few rows at a time. A device may have a kernel for each, and the two round differently. So the same
  // rows must always be computed as the same kind, however many there are. A device with mixes_prompts() has one kind.
  bool is_prompt = false;
  // If it returns false, nobody waits for the step any more: Cancelled is thrown. Empty: the step is wanted.
  std::function<bool()> is_wanted;
};

// The choice of a group.
struct Chosen {
  int slot = 0;
  std::vector<int> tokens{};    // its drafts that were right, and one more; empty if there is a problem
  std::vector<int> drafts{};    // made after the last of the tokens
  std::vector<float> logits{};  // [tokens, vocab], if Group::wants_logits
  // The tokens with their log-probabilities under the model's own distribution, if Group::alternatives asks for them.
  std::vector<Choice> choices{};
  // KEXA_BAD_FILE if a logit was NaN or infinite, and KEXA_INVALID_ARGUMENT if bias, mask and end tokens leave no
  // token. It concerns this group alone. Null: there is none.
  std::exception_ptr problem{};
};

// Successive cache rows of a layer, from KvSlots::row() `row` on, and the places of their keys and values in a copy.
struct CacheRun {
  int layer;
  int64_t row;
  int count;
  size_t keys_at, values_at;
};

// One forward, two devices. The CPU device (native/cpu) implements each op plainly and is the oracle of every GPU
// kernel. All matrices are row-major, with one row for each row of the step. Only the engine's thread uses a device.
//
// A row's result never depends on the other rows of its step: the same operations happen in the same order for every
// prompt row, and for every answer row.
class Device {
 public:
  virtual ~Device() = default;

  // Begins a step with its rows and their places in the cache. `slots` must not change until the step is over.
  virtual void begin(const Step& step, const KvSlots& slots) = 0;

  // residual = E[token]
  virtual void embed() = 0;

  // q, k, v = W norm(residual) (pre-norm) or W residual (post-norm). Normalises q and k per head, rotates them on
  // layers with RoPE, and writes k and v to the cache.
  virtual void attention_input(int layer) = 0;

  // attended = softmax(q k / sqrt(head_dim)) v, over the keys that the row may see
  virtual void attention(int layer) = 0;

  // residual += o attended; on post-norm models residual += norm(o attended)
  virtual void attention_output(int layer) = 0;

  // residual += swiglu(norm(residual)); on post-norm models residual += norm(swiglu(residual))
  virtual void dense_ffn(int layer) = 0;

  // Chooses top_k experts for each row, and their weights.
  virtual void route(int layer) = 0;

  // residual += the chosen experts' weighted sum + the shared expert
  virtual void experts(int layer) = 0;

  // hidden = norm(residual): the model's final norm, or the MTP block's own.
  virtual void final_norm(bool is_mtp) = 0;

  // logits = W hidden, for the step's logit rows
  virtual void head() = 0;

  // residual = fc [norm(E[next]), norm(hidden)], for the rows of the MTP block: its input, the embedding's half first.
  virtual void draft_input() = 0;

  // Tells how the slot's tokens are chosen and what they follow. `ids` is the prompt (`prompt_size` tokens) and then
  // the answer so far. Earlier drafts are forgotten.
  virtual void begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) = 0;

  // For each group that chooses: chooses the token after its first logit row, then after each next one as long as that
  // row's own token, a draft, is the token just chosen. Afterwards every row with a choice knows its next token. From
  // draft_input() on, the logit rows are the last row with a choice of each group that drafts.
  virtual void choose() = 0;

  // Chooses one more draft from the MTP block's logits, for each group that still drafts.
  virtual void choose_draft() = 0;

  // Prepares the next MTP step. It has one row for each group that wants yet another draft: its position is one after
  // the group's current logit row, its hidden state is that row's, and its token is the draft chosen last.
  virtual void begin_draft() = 0;

  // Ends the step. Returns a ticket, with which take() gives the chosen tokens.
  virtual int end_step() = 0;

  // One for each group that chose, in their order. Waits for the step. Each ticket is taken or dropped once.
  virtual std::vector<Chosen> take(int ticket) = 0;
  virtual void drop(int ticket) = 0;

  // Whether rows of prompts and rows of answers may share a step, because the device computes both alike.
  virtual bool mixes_prompts() const { return false; }

  // How many steps should be begun before the oldest is taken, because they run while the caller does other things. The
  // answer is about the step begun last.
  virtual int steps_ahead() const { return 0; }

  // Steps of different lanes run at the same time, in different parts of the device. With more than one lane no group
  // follows: a step that chooses is taken before the next one with the same slot begins.
  virtual int lanes() const { return 1; }
  // [parts]: the time that each part has worked so far (nanoseconds). Empty if the device has no parts.
  virtual std::vector<int64_t> busy_ns() const { return {}; }

  // Sets the residual [rows, hidden] instead of embed(). For devices that share a model.
  virtual void set_residual(std::span<const float> rows) = 0;
  // The rows of the step. Rows of following groups have the tokens and positions that the device found. Waits. For
  // tests.
  virtual std::vector<Row> rows() const = 0;

  // Counts and times the work between the two calls, which slows it. A device without kernels has nothing to tell.
  virtual void start_profile() {}
  virtual std::optional<Profile> take_profile() { return std::nullopt; }

  // Counts of the chosen experts so far, and each expert's heat [layers, experts]: how often it was chosen, with older
  // choices counting less. A device that holds all experts has neither.
  virtual std::optional<ExpertTraffic> expert_traffic() const { return std::nullopt; }
  virtual std::vector<float> expert_heat() const { return {}; }

  // For tests: every later request to the device fails with KEXA_DEVICE_LOST. Only a GPU can be lost.
  virtual void force_loss() {}
  // For tests: a GPU refuses any later buffer that would take its total past this many bytes.
  virtual void force_room(int64_t) {}

  // Makes room for at least `pages` pages in the global layers' cache and keeps their contents. To be called before a
  // page is used. Returns the number of pages there are then. Throws KEXA_OUT_OF_MEMORY, which leaves the cache as it
  // was.
  virtual int hold_pages(int pages) = 0;

  // Bytes of a cache row: its keys, and also its values. Only the device knows what they mean.
  virtual int64_t cache_row_bytes() const = 0;
  // Begins to copy cache rows to `bytes` bytes of main memory, as the ops so far leave them. Does not wait. Returns a
  // ticket, by which take_cache() waits for the copy and gives the bytes. Each ticket is taken or dropped once.
  virtual int read_cache(std::span<const CacheRun> runs, size_t bytes) = 0;
  virtual void take_cache(int ticket, std::span<std::byte> bytes) = 0;
  virtual void drop_cache(int ticket) = 0;
  // Writes `count` successive rows of a layer, from KvSlots::row() `row` on: all keys, then all values. `bytes` has
  // 2 * count * cache_row_bytes() bytes.
  virtual void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) = 0;
  // Copies `count` successive rows of a layer, after the ops so far and before the next. The rows do not overlap. Does
  // not wait.
  virtual void copy_cache(int layer, int64_t from, int64_t to, int count) = 0;

  // For reading back. A span is valid until the next op that writes what it shows.
  virtual std::span<const float> residual() const = 0;             // [rows, hidden]
  virtual std::span<const float> hidden() const = 0;               // [rows, hidden]
  virtual std::span<const float> logits(int logit_row) const = 0;  // [vocab], for the row step.logit_rows[logit_row]
  virtual std::span<const int> route_experts() const = 0;          // [rows, top_k], best first
  virtual std::span<const float> route_weights() const = 0;        // [rows, top_k], the factor of each expert's output
};

}  // namespace kexa
