#include "engine/measure_job.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "decode/forward.h"
#include "device/ops.h"

namespace kexa {
namespace {

// Most calls in one repetition, so that the device's queue and its records of each call stay bounded.
constexpr int kMostCalls = 2000;
// Most choices in a row. Each one makes the sequence longer.
constexpr int kMostChoices = 32;

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begun) {
  return double(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begun).count());
}

int64_t device_time(const Profile& profile) {
  int64_t total = 0;
  for (const Profile::Op& op : profile.ops) total += op.nanoseconds;
  return total;
}

// Waits until the device has done all its work.
void wait(Device& device) { device.take(device.end_step()); }

Profile of_one_call(Profile profile, int calls) {
  for (Profile::Op& op : profile.ops) op.nanoseconds /= calls, op.dispatches /= calls;
  profile.dispatches /= calls;
  return profile;
}

}  // namespace

bool MeasureJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (is_fresh) {
    prepared_rows_ = 0;
    fill_cache(context, slot);
  }
  const OpMeasurement& wanted = params_.ops[next_++];
  if (wanted.rows != prepared_rows_) prepare(context, slot, wanted.rows);
  channel().push(wanted.op == "step" ? measure_steps(context, wanted) : measure(context, wanted));
  if (next_ < params_.ops.size()) return false;
  channel().push(event::Done{});
  return true;
}

// Fills the cache with keys and values of every layer, made from the embeddings alone.
void MeasureJob::fill_cache(const JobContext& context, int slot) {
  LoadedModel& model = *context.model;
  const int chunk = context.plan.options.prefill_chunk;
  for (int first = 0; first < params_.depth; first += chunk) {
    if (channel().cancelled()) throw Cancelled{};
    const int end = std::min(params_.depth, first + chunk);
    model.slots.reserve(slot, end);
    model.slots.begin_write(slot, end);
    step_ = {};
    for (int position = first; position < end; ++position)
      step_.rows.push_back({.token = int(position * int64_t{7919} % context.description.vocab_size),
                            .slot = slot,
                            .position = position});
    step_.is_prompt = true;
    model.device->begin(step_, model.slots);
    model.device->embed();
    for (int layer = 0; layer < int(context.description.layers.size()); ++layer) model.device->attention_input(layer);
    wait(*model.device);
  }
}

// Runs a step once, so that every buffer has the contents that a step leaves.
void MeasureJob::prepare(const JobContext& context, int slot, int rows) {
  LoadedModel& model = *context.model;
  const int vocab = context.description.vocab_size;
  model.slots.reserve(slot, params_.depth + rows);
  model.slots.begin_write(slot, params_.depth + rows);
  step_ = {};
  for (int i = 0; i < rows; ++i) {
    const int64_t token = (params_.depth + i) * int64_t{7919} + 11;
    step_.rows.push_back({.token = int(token % vocab),
                          .slot = slot,
                          .position = params_.depth + i,
                          .next = int((token + 7919) % vocab)});
    if (rows <= kSmallRows || i + 1 == rows) step_.logit_rows.push_back(i);
  }
  step_.groups = {{.slot = slot, .rows = rows, .chooses = true}};
  // Few rows are measured as an answer's rows.
  step_.is_prompt = rows > kSmallRows;
  const int first_token[] = {step_.rows[0].token};
  model.device->begin_choosing(slot, {.temperature = 0, .logit_bias = {}}, first_token, 1);
  forward(*model.device, context.description, step_, model.slots,
          {.is_wanted = channel().is_wanted(), .layers_done = &context.stats.layers});
  wait(*model.device);
  prepared_rows_ = rows;
}

void MeasureJob::call(const JobContext& context, const OpMeasurement& wanted, int index) {
  const int layer = wanted.layers[size_t(index) % wanted.layers.size()];
  op_named(wanted.op).call(*context.model->device, layer);
}

event::Measured MeasureJob::measure(const JobContext& context, const OpMeasurement& wanted) {
  Device& device = *context.model->device;
  event::Measured found;
  if (wanted.op == "experts") {
    const auto ids = device.route_experts();
    found.experts_read = int(std::set<int>(ids.begin(), ids.end()).size());
  }
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) call(context, wanted, i);
  };
  device.start_profile();
  run(1);
  const std::optional<Profile> one = device.take_profile();
  found.is_device_time = one && device_time(*one) > 0;

  const int turn = int(wanted.layers.size()), most = wanted.op == "choose" ? kMostChoices : kMostCalls;
  int count = turn;
  for (;;) {
    const auto begun = Clock::now();
    run(count);
    wait(device);
    const double taken = since(begun);
    if (taken >= double(wanted.least_ns) || count >= most) break;
    const double factor = std::clamp(1.2 * double(wanted.least_ns) / std::max(taken, 1.0), 2.0, 64.0);
    count = std::min(most, int(count * factor + turn - 1) / turn * turn);
  }
  found.calls = count;
  Profile total;
  for (int repetition = 0; repetition < wanted.repetitions; ++repetition) {
    if (channel().cancelled()) throw Cancelled{};
    if (found.is_device_time) {
      device.start_profile();
      run(count);
      const Profile profile = *device.take_profile();
      found.nanoseconds.push_back(double(device_time(profile)) / count);
      total += profile;
    } else {
      const auto begun = Clock::now();
      run(count);
      wait(device);
      found.nanoseconds.push_back(since(begun) / count);
    }
  }
  if (found.is_device_time)
    found.profile = of_one_call(total, count * wanted.repetitions);
  else
    found.profile = one;
  // These ops leave a state that no step has: choosing grows the sequence, and the others add to the residual again and
  // again.
  if (wanted.op == "choose" || wanted.op == "attention_output" || wanted.op == "experts" || wanted.op == "dense_ffn")
    prepared_rows_ = 0;
  return found;
}

event::Measured MeasureJob::measure_steps(const JobContext& context, const OpMeasurement& wanted) {
  LoadedModel& model = *context.model;
  Device& device = *model.device;
  event::Measured found;
  const auto encode = [&] {
    forward(device, context.description, step_, model.slots,
            {.is_wanted = channel().is_wanted(), .layers_done = &context.stats.layers});
    device.choose();
  };
  device.start_profile();
  encode();
  wait(device);
  found.profile = device.take_profile();
  found.is_device_time = false;
  for (int repetition = 0; repetition < wanted.repetitions; ++repetition) {
    double whole = 0, encoding = 0;
    int count = 0;
    for (; count == 0 || (whole < double(wanted.least_ns) && count < kMostChoices); ++count) {
      const auto begun = Clock::now();
      encode();
      const int ticket = device.end_step();
      encoding += since(begun);
      device.take(ticket);
      whole += since(begun);
    }
    found.calls = count;
    found.nanoseconds.push_back(whole / count);
    found.encode_nanoseconds.push_back(encoding / count);
  }
  prepared_rows_ = 0;
  return found;
}

}  // namespace kexa
