// The layers of a model on several devices, as one device.
//
// Each device has its own thread, which does its work in order. The residual goes from one device to the next through
// main memory. A caller waits only when it reads something back. So while one device runs a chunk of a prompt, the
// device before it can run the next chunk, and while one runs a step of one lane, another runs a step of another. The
// first device needs the tokens that the last has chosen, so a step of an answer begins when the one before is taken.
#pragma once

#include <map>

#include "device/device.h"
#include "model/weights.h"
#include "plan/split.h"
#include "split/device_thread.h"

namespace kexa {

class SplitDevice final : public Device {
 public:
  // A device with the objects that it refers to.
  struct Member {
    std::unique_ptr<Part> part;
    std::unique_ptr<Weights> weights;
    std::unique_ptr<Device> device;
  };

  // At least two, in the layers' order.
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
  std::vector<Chosen> take(int ticket) override;
  bool mixes_prompts() const override;
  void drop(int ticket) override;
  int steps_ahead() const override { return int(parts_.size()) - 1; }
  int lanes() const override { return int(parts_.size()); }
  std::vector<int64_t> busy_ns() const override;
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
  int read_cache(std::span<const CacheRun> runs, size_t bytes) override;
  void take_cache(int ticket, std::span<std::byte> bytes) override;
  void drop_cache(int ticket) override { cache_copies_.erase(ticket); }
  void write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) override;
  void copy_cache(int layer, int64_t from, int64_t to, int count) override;

  std::span<const float> residual() const override;
  std::span<const float> hidden() const override;
  std::span<const float> logits(int logit_row) const override;
  std::span<const int> route_experts() const override;
  std::span<const float> route_weights() const override;

 private:
  struct RunningStep;
  struct End;
  struct CacheCopy;
  struct SplitPart {
    Member member;
    std::shared_ptr<const KvSlots> tables;  // of the step that it runs; only its thread uses them
    DeviceThread thread;                    // ends before the members above are destroyed

    int first_layer() const { return member.part->description.part.first_layer; }
    int end_layer() const { return first_layer() + member.part->description.layer_count(); }
  };
  using DeviceCall = std::function<void(Device&)>;

  int part_of(int layer) const;
  // Asks a part for a call that belongs to the running step. The call is skipped if the step has failed by then, or is
  // not wanted any more.
  void ask(int part, DeviceCall call) const;
  // Asks, and waits. Throws the step's failure, or Cancelled.
  void ask_and_wait(int part, const DeviceCall& call) const;
  // Runs a call that belongs to no step, or that is needed even if the step fails. Waits for all earlier work of the
  // part.
  void run(int part, const DeviceCall& call) const;
  void ask_layer(int layer, void (Device::*op)(int));
  // Hands the residual over to a part, unless the part has it.
  void bring(int part);
  void begin_on(int part, Step step, std::shared_ptr<const KvSlots> tables);
  int last() const { return int(parts_.size()) - 1; }

  std::vector<std::unique_ptr<SplitPart>> parts_;
  int64_t cache_row_bytes_ = 0;  // of the device with the largest rows; others fill up with zeros
  std::shared_ptr<RunningStep> step_;
  std::map<int, std::shared_ptr<End>> ends_;                // indexed by ticket
  std::map<int, std::shared_ptr<CacheCopy>> cache_copies_;  // indexed by ticket
  int next_ticket_ = 0;
  int residual_at_ = 0, routed_at_ = 0;  // the parts that have the residual and the route
};

}  // namespace kexa
