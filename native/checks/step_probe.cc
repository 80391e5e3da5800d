#include "checks/step_probe.h"

#include <algorithm>
#include <chrono>

#include "decode/forward.h"

namespace kexa {
namespace {

// Opens a GPU that keeps nothing on disk, and notes it in `opened`.
std::unique_ptr<Gpu> open_noted(PlanOptions options, Gpu*& opened) {
  options.dawn_identity = options.blob_folder = {};
  auto gpu = open_gpu(options);
  opened = gpu.get();
  return gpu;
}

}  // namespace

StepProbe::StepProbe(const ModelDescription& description, const PlanOptions& options, int prompt)
    : description_(description),
      plan_(make_plan(description_, options)),
      weights_(description_, options.weight_type, ConversionPlace::kOnDevice, 0, [](int64_t, int64_t) {}),
      device_(description_, weights_, plan_, open_noted(options, gpu_), nullptr, [](int64_t, int64_t) {}),
      slots_(description_, plan_),
      slot_(slots_.acquire(1).slot) {
  slots_.set_make_pages([this](int pages) { return device_.hold_pages(pages); });
  std::vector<int> ids(prompt);
  for (int i = 0; i < prompt; ++i) ids[i] = int(int64_t(i) * 7919 % description_.vocab_size);
  device_.begin_choosing(slot_, {.temperature = 0, .logit_bias = {}}, ids, ids.size());
  for (int first = 0; first < prompt; first += int(step_.rows.size())) {
    const int end = std::min(prompt, first + plan_.options.prefill_chunk);
    slots_.reserve(slot_, end);
    step_ = {};
    step_.is_prompt = true;
    for (int position = first; position < end; ++position)
      step_.rows.push_back({.token = ids[position], .slot = slot_, .position = position});
    if (end == prompt) {
      step_.logit_rows = {end - 1 - first};
      step_.groups = {{.slot = slot_, .rows = end - first, .chooses = true}};
    }
    forward(device_, description_, step_, slots_);
    if (end == prompt) device_.choose();
    wait(device_.end_step());
  }
  tokens_ = prompt + 1;
}

std::vector<Launch> StepProbe::launches(int rows, bool is_prompt) {
  std::vector<Launch> launches;
  gpu_->watch_dispatches([&](const Kernel& kernel, const std::array<uint32_t, 3>& workgroups) {
    launches.push_back({.kernel = kernel.name, .wgsl = device_.kernels_.text_of(kernel), .workgroups = workgroups});
  });
  const int first = is_prompt ? 0 : tokens_ - 1;
  slots_.reserve(slot_, std::max(tokens_, first + rows));
  Step step{.logit_rows = {rows - 1}, .is_prompt = is_prompt};
  for (int position = first; position < first + rows; ++position)
    step.rows.push_back({.slot = slot_, .position = position});
  step.groups = {{.slot = slot_, .rows = rows, .chooses = true}};
  forward(device_, description_, step, slots_);
  device_.choose();
  wait(device_.end_step());
  gpu_->watch_dispatches({});
  return launches;
}

// Encodes a step up to end_step(), with the book-keeping that Sequence does for it.
void StepProbe::encode() {
  slots_.reserve(slot_, tokens_);
  step_.rows.clear();
  step_.logit_rows = {0};
  step_.groups = {{.slot = slot_, .rows = 1, .is_following = true, .chooses = true}};
  step_.is_prompt = false;
  step_.rows.push_back({.slot = slot_, .position = tokens_ - 1});
  forward(device_, description_, step_, slots_);
  device_.choose();
}

void StepProbe::wait(int ticket) {
  Choosing::Record record;
  gpu_->take(ticket, std::as_writable_bytes(std::span(&record, 1)));
}

StepTimes StepProbe::run(int count) {
  StepTimes times;
  for (int i = 0; i < count; ++i, ++tokens_) {
    using Clock = std::chrono::steady_clock;
    const auto nanoseconds = [](Clock::duration duration) {
      return int64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
    };
    const auto begun = Clock::now();
    encode();
    const auto encoded = Clock::now();
    const int ticket = device_.end_step();
    const auto submitted = Clock::now();
    wait(ticket);
    times.encode.push_back(nanoseconds(encoded - begun));
    times.submit.push_back(nanoseconds(submitted - encoded));
    times.wait.push_back(nanoseconds(Clock::now() - submitted));
  }
  return times;
}

Profile StepProbe::profile() {
  device_.start_profile();
  encode();
  wait(device_.end_step());
  ++tokens_;
  return device_.take_profile().value();
}

}  // namespace kexa
