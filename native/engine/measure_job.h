// Times single ops of the device. Events: Measured for each op, then Done.
#pragma once

#include "engine/job.h"

namespace kexa {

class MeasureJob final : public Job {
 public:
  MeasureJob(std::shared_ptr<Channel> channel, uint64_t owner, MeasureParams params)
      : Job(std::move(channel), owner), params_(std::move(params)) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  void fill_cache(const JobContext& context, int slot);
  void prepare(const JobContext& context, int slot, int rows);
  void call(const JobContext& context, const OpMeasurement& wanted, int index);
  event::Measured measure(const JobContext& context, const OpMeasurement& wanted);
  event::Measured measure_steps(const JobContext& context, const OpMeasurement& wanted);

  MeasureParams params_;
  size_t next_ = 0;
  int prepared_rows_ = 0;  // rows of the step that has filled every buffer; 0: no step has
  Step step_;
};

}  // namespace kexa
