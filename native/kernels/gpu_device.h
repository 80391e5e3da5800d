// The GPU device: the ops of the forward pass as WGSL kernels.
#pragma once

#include <map>
#include <memory>

#include "kernels/gpu_weights.h"
#include "kernels/kernel_source.h"
#include "plan/device.h"

namespace kexa {

class GpuDevice final : public Device {
 public:
  // Uploads the weights and makes every pipeline and bind group. `description` and `weights` must outlive the device.
  GpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan, std::unique_ptr<Gpu> gpu,
            const LoadProgress& progress);

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
  void begin_draft(const Step& step, const KvSlots& slots, int hidden_row) override;
  void draft_input(std::span<const int> next_tokens) override;

  std::span<const float> residual() const override;
  std::span<const float> hidden() const override;
  std::span<const float> logits(int logit_row) const override;
  std::span<const int> route_experts() const override;
  std::span<const float> route_weights() const override;

 private:
  // A kernel with its buffers: all that is left to say when it is run is how many rows there are.
  struct Op {
    const Kernel* kernel = nullptr;
    BindGroup group;
    uint32_t workgroups = 0;  // along x
    int rows_per_workgroup = 1;
  };
  struct LayerOps {
    Op qkv, heads, attend_few, reduce_few, attend_many, reduce_many, o, o_norm;
    Op route, ffn_input, ffn_output, ffn_norm;
    Buffer keys, values;
  };

  void make_buffers();
  void make_layer(int layer);
  Op make_op(const std::string& name, const Prelude& prelude, const std::vector<Binding>& bindings, uint32_t workgroups,
             int rows_per_workgroup = 1);
  Op make_multiply(const GpuMatrix& weight, const Buffer& x, int x_stride, const Buffer* gain, const Buffer& y,
                   int y_stride, bool adds, bool is_gathered = false);
  Op make_norm(const Buffer& gain, const Buffer& x, const Buffer& y, int y_stride, int y_offset, bool adds);
  void write_logit_rows();
  void run(const Op& op, int rows, uint32_t parts = 1);
  Prelude common() const;

  const ModelDescription& description_;
  KvLayout kv_;
  int max_rows_;
  std::unique_ptr<Gpu> gpu_;
  GpuWeights weights_;
  std::vector<double> frequencies_;
  std::map<std::string, Kernel> kernels_;  // by name and prelude

  Buffer step_state_, pages_, rope_;
  Buffer residual_, branch_, hidden_, pair_, next_embedding_, qkv_, attended_, partial_few_, partial_many_;
  Buffer inner_, experts_, expert_weights_, logits_;
  std::vector<LayerOps> layers_;
  Op embed_, embed_next_, final_norm_, head_, mtp_embedding_norm_, mtp_hidden_norm_, mtp_fc_, mtp_norm_;

  const Step* step_ = nullptr;
  int rows_ = 0;
  bool is_small_ = false;
  std::vector<uint32_t> state_;

  // Copies of what was last read back; emptied by whatever changes the original.
  mutable std::vector<float> residual_copy_, hidden_copy_, logits_copy_, weights_copy_;
  mutable std::vector<int> experts_copy_;
};

}  // namespace kexa
