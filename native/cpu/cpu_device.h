// The CPU device. Every op is written to be read, and is the oracle of its GPU kernel.
#pragma once

#include <map>
#include <optional>

#include "base/cores.h"
#include "base/thread_pool.h"
#include "cpu/sampler.h"
#include "device/logit_groups.h"
#include "model/weights.h"
#include "quant/rounded.h"

namespace kexa {

class CpuDevice final : public Device {
 public:
  // Allocates all buffers of the plan. `description`, `weights` and `plan` must outlive the device.
  CpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan);

  void begin(const Step& step, const KvSlots& slots) override;
  void embed() override;
  void attention_input(int layer) override;
  void attention(int layer) override;
  void attention_output(int layer) override;
  void dense_ffn(int layer) override;
  void route(int layer) override;
  void experts(int layer) override;
  void final_norm(bool is_mtp) override;
  void head() override;
  void draft_input() override;
  void begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) override;
  void choose() override;
  void choose_draft() override;
  void begin_draft() override;
  void set_residual(std::span<const float> rows) override;
  std::vector<Row> rows() const override { return step_.rows; }
  int end_step() override;
  std::vector<Chosen> take(int ticket) override;
  void drop(int ticket) override { take(ticket); }
  bool mixes_prompts() const override { return true; }

  int hold_pages(int) override { return kv_.pages; }  // pages take memory only when they are used
  int64_t cache_row_bytes() const override { return kv_.row_bytes(); }
  int read_cache(std::span<const CacheRun> runs, size_t bytes) override;
  void take_cache(int ticket, std::span<std::byte> bytes) override;
  void drop_cache(int ticket) override { cache_copies_.erase(ticket); }
  void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) override;
  void copy_cache(int layer, int64_t from, int64_t to, int count) override;

  std::span<const float> residual() const override {
    return {residual_.data(), size_t(rows_) * description_.hidden_size};
  }
  std::span<const float> hidden() const override { return {hidden_.data(), size_t(rows_) * description_.hidden_size}; }
  std::span<const float> logits(int logit_row) const override;
  std::span<const int> route_experts() const override;
  std::span<const float> route_weights() const override;

 private:
  friend struct DeviceProbe;  // native/checks
  struct LayerCache {
    LazyMemory keys, values;  // rows of KvLayout::row_bytes()
  };
  // The working memory of one thread in attention.
  struct Attending {
    std::vector<float> scores;   // [query heads of a KV head, kKeyBlock]
    std::vector<double> output;  // [query heads of a KV head, KvLayout::head_elements()]
    std::vector<double> sum;     // [query heads of a KV head]
    std::vector<float> maximum;  // [query heads of a KV head]
    std::vector<float> block;    // [KvLayout::head_elements()], the sum that a block of keys adds to an output
    std::vector<float> queries;  // [query heads of a KV head, KvLayout::head_elements()]
    std::vector<float> row;      // [KvLayout::head_elements()], a head on its way into the cache
  };

  // The sequence of a slot, as choosing needs it.
  struct Sequence {
    Sampler sampler;
    std::vector<int> ids;
    size_t prompt_size;
    std::vector<int> drafts;
  };
  // A group of the running step that chooses.
  struct Choosing : LogitGroup {
    Chosen chosen;
  };

  void prepare_rope();
  void choose(Choosing& choosing);
  void choose_draft(Choosing& choosing, int logit_row);
  void normalize_rows(const std::vector<float>& gain, const float* from, float* to);
  void rotate(float* head, int row) const;
  // Writes a row of keys or values in the cache's type.
  void write_cache_row(const float* from, std::byte* to, Attending& attending) const;
  void attend(int layer, int row, int kv_head, Attending& attending);
  void choose_experts(const std::vector<float>& bias, int row);
  // The input of a sub-layer, and the way its branch joins the residual. Pre-norm and post-norm models differ here.
  const float* branch_input(const std::vector<float>& norm);
  void add_branch(const std::vector<float>& norm);
  // The rows of a product's input, rounded to 16 bits. Null if rounding is off, or if no weight of `weights` takes
  // rounded rows.
  const RoundedRows* rounded(const std::vector<const Matrix*>& weights, const float* x, int rows, int columns);

  const ModelDescription& description_;
  const Weights& weights_;
  OwnCores cores_;  // of pool_
  ThreadPool pool_;
  const PlanOptions& options_;
  KvLayout kv_;
  std::vector<LayerCache> cache_;
  std::vector<double> frequencies_;  // [head_dim / 2], radians for each position
  std::vector<Attending> attending_;

  Step step_;
  std::vector<std::optional<Sequence>> sequences_;  // [slots]
  std::vector<Choosing> choosing_;                  // in the order of their groups
  std::vector<int> draft_rows_;                     // the logit rows of the MTP block, one for each group that drafts
  int drafts_made_ = 0;                             // by each of these groups
  std::map<int, std::vector<Chosen>> taken_later_;  // indexed by ticket
  std::map<int, std::vector<std::byte>> cache_copies_;  // indexed by ticket
  int next_ticket_ = 0;
  const KvSlots* slots_ = nullptr;
  int rows_ = 0;
  bool is_rounding_ = false;
  std::vector<float> cosines_, sines_;                      // [rows, head_dim / 2]
  std::vector<float> residual_, normed_, branch_, hidden_;  // [rows, hidden]
  std::vector<float> pair_;                                 // [rows, 2 * hidden], input of the MTP block
  std::vector<float> q_, attended_;                         // [rows, heads * head_dim]
  std::vector<float> k_, v_;                                // [rows, kv_heads * head_dim]
  std::vector<float> inner_;                                // FFN activations
  RoundedRows rounded_;                                     // of the running product
  std::vector<RoundedBlock> rounded_inner_;                 // FFN activations
  std::vector<float> router_;                               // [rows, experts]
  std::vector<int> routed_;                                 // [rows, top_k]
  std::vector<float> routed_weights_;                       // [rows, top_k]
  std::vector<float> logits_;                               // [logit rows, vocab]
};

}  // namespace kexa
