// The GPU device: the ops of the forward pass as WGSL kernels.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "device/logit_groups.h"
#include "kernels/attention/attention.h"
#include "kernels/choose/choose.h"
#include "kernels/ffn/expert_residency.h"
#include "kernels/ffn/ffn.h"

namespace kexa {

// Loads Dawn's library and opens the GPU that a plan names. Throws KEXA_NO_DEVICE.
std::unique_ptr<Gpu> open_gpu(const PlanOptions& options);

class GpuDevice final : public Device {
 public:
  // Uploads the weights and makes all pipelines and bind groups. `description` and `weights` must outlive the device.
  // `host` computes experts that are not on the GPU; null if the plan has none of them.
  GpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan, std::unique_ptr<Gpu> gpu,
            std::unique_ptr<HostExperts> host, const LoadProgress& progress);

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
  std::vector<Row> rows() const override;
  int end_step() override;
  std::vector<Chosen> take(int ticket) override;
  void drop(int ticket) override;
  int steps_ahead() const override { return 1; }

  int hold_pages(int pages) override;
  int64_t cache_row_bytes() const override { return cache_row_bytes_; }
  int read_cache(std::span<const CacheRun> runs, size_t bytes) override;
  void take_cache(int ticket, std::span<std::byte> bytes) override { gpu_->take(ticket, bytes); }
  void drop_cache(int ticket) override { gpu_->drop(ticket); }
  void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) override;
  void copy_cache(int layer, int64_t from, int64_t to, int count) override;

  void start_profile() override { gpu_->start_profile(); }
  void force_loss() override { gpu_->force_loss(); }
  void force_room(int64_t bytes) override { gpu_->force_room(bytes); }
  std::optional<Profile> take_profile() override { return gpu_->take_profile(); }

  std::optional<ExpertTraffic> expert_traffic() const override;
  std::vector<float> expert_heat() const override;

  std::span<const float> residual() const override;
  std::span<const float> hidden() const override;
  std::span<const float> logits(int logit_row) const override;
  std::span<const int> route_experts() const override;
  std::span<const float> route_weights() const override;

 private:
  friend struct DeviceProbe;  // native/checks
  friend class StepProbe;     // native/checks
  struct Layer {
    Attention attention;
    Matmul output;
    BoundKernel output_norm;
    Ffn ffn;
  };

  Layer make_layer(int index, const Plan& plan);
  BoundKernel make_embed(const Buffer& to, int token_field);
  BoundKernel make_final_norm(const Buffer& gain);
  // The kernels after the last layer, and those of the MTP block beside its layer.
  void make_end(const Plan& plan);
  void make_mtp();

  const ModelDescription& description_;
  int decode_rows_;
  KvLayout kv_;
  int held_pages_;  // of kv_.pages, the pages that exist in every global layer
  int64_t cache_row_bytes_;
  std::unique_ptr<Gpu> gpu_;
  KernelSet kernels_;
  std::optional<ExpertSlots> expert_slots_;  // only if some routed experts are not on the GPU
  GpuWeights weights_;
  Activations activations_;
  Buffer cache_copy_;                 // [kPageRows] rows on their way, because a buffer cannot be copied to itself
  std::optional<Choosing> choosing_;  // only on the device with the model's end
  std::vector<Layer> layers_;
  std::unique_ptr<ExpertResidency> residency_;  // only with expert_slots_
  BoundKernel embed_, embed_next_, final_norm_, mtp_embedding_norm_, mtp_hidden_norm_, mtp_norm_;
  Matmul head_, mtp_fc_;

  StepRows step_rows() const { return {rows_, is_large_}; }
  void find_groups(const Step& step);
  void write_state(const Step& step);
  // The groups that want more drafts than were made.
  int drafting_groups() const;
  // Bytes of the logits that a group wants to have.
  uint64_t logit_bytes(const LogitGroup& own) const;
  // Bytes of the choices of a group that wants log-probabilities.
  uint64_t choice_bytes(const LogitGroup& own) const;

  int rows_ = 0, logit_rows_ = 0;
  bool is_large_ = false;
  int longest_ = 0;   // the most keys that a row would see without a window
  int mtp_rows_ = 0;  // rows of the step that the MTP block runs over
  std::vector<LogitGroup> groups_;
  int choosing_groups_ = 0;                       // the first of them
  int drafts_made_ = 0;                           // by each group that drafts
  std::optional<int> ticket_;                     // of the running step, once it has chosen
  std::map<int, std::vector<LogitGroup>> ended_;  // the groups of steps that have chosen, indexed by ticket
  std::vector<uint32_t> state_;
  std::vector<std::vector<int>> uploaded_pages_;  // [slots]: the pages in the GPU's tables

  // Copies of the contents read back last. Every op that changes the original empties them.
  mutable std::vector<float> residual_copy_, hidden_copy_, logits_copy_, weights_copy_;
  mutable std::vector<int> experts_copy_;
};

}  // namespace kexa
