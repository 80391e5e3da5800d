// A model's layers on several devices, as one device.
//
// Each device has a thread of its own, which does what it is asked for in order; the residual stream is handed from one
// to the next in main memory. A caller is only held up where it reads something back. So while one device runs a chunk
// of a prompt, the one before it can run the next chunk. Steps that go on from what was chosen begin with the first
// device knowing the tokens, which the last one chose: there the devices work one after the other.
#pragma once

#include <map>

#include "split/device_thread.h"
#include "model/weights.h"
#include "device/device.h"
#include "plan/split.h"

namespace kexa {

class SplitDevice final : public Device {
 public:
  // A device, and what it refers to.
  struct Member {
    std::unique_ptr<Part> part;
    std::unique_ptr<Weights> weights;
    std::unique_ptr<Device> device;
  };

  // In the layers' order, two at least.
  explicit SplitDevice(std::vector<Member> members);
  ~SplitDevice() override;

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
  int end_step() override;
  std::vector<int> take(int ticket) override;
  void drop(int ticket) override;
  int steps_ahead() const override { return has_chosen_ ? 0 : int(parts_.size()) - 1; }
  void set_residual(std::span<const float> rows) override;
  std::vector<Row> rows() const override;

  std::optional<ExpertTraffic> expert_traffic() const override;
  std::vector<float> expert_heat() const override;

  void start_profile() override;
  std::optional<Profile> take_profile() override;
  void force_loss() override;
  void force_room(int64_t bytes) override;

  int hold_pages(int pages) override;
  int64_t cache_row_bytes() const override { return cache_row_bytes_; }
  void read_cache(int layer, int64_t row, int count, std::span<std::byte> bytes) override;
  void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) override;

  std::span<const float> residual() const override;
  std::span<const float> hidden() const override;
  std::span<const float> logits(int logit_row) const override;
  std::span<const int> route_experts() const override;
  std::span<const float> route_weights() const override;

 private:
  struct RunningStep;
  struct End;
  struct SplitPart {
    Member member;
    std::shared_ptr<const KvSlots> tables;  // of the step it runs; its thread's own
    DeviceThread thread;                    // ends first

    int first_layer() const { return member.part->description.first_layer; }
    int end_layer() const { return first_layer() + member.part->description.layer_count(); }
  };
  using DeviceCall = std::function<void(Device&)>;

  int part_of(int layer) const;
  // What the running step asks of a part. Not done if the step has failed meanwhile or is not wanted any more.
  void ask(int part, DeviceCall call) const;
  // The same, waited for. Throws what the step has failed with, and Cancelled.
  void ask_and_wait(int part, const DeviceCall& call) const;
  // What is no step's, or is wanted of it whatever becomes of it. Waits for all that was asked of the part before.
  void run(int part, const DeviceCall& call) const;
  void ask_layer(int layer, void (Device::*op)(int));
  // Hands the residual over to a part that has not got it.
  void bring(int part);
  void begin_on(int part, Step step, std::shared_ptr<const KvSlots> tables);
  int last() const { return int(parts_.size()) - 1; }

  std::vector<std::unique_ptr<SplitPart>> parts_;
  int64_t cache_row_bytes_ = 0;  // of the device whose rows are the largest; the others' are filled up with zeros
  std::shared_ptr<RunningStep> step_;
  std::map<int, std::shared_ptr<End>> ends_;  // by ticket
  int next_ticket_ = 0;
  int residual_at_ = 0, routed_at_ = 0;  // parts
  bool has_chosen_ = false;
};

}  // namespace kexa
