#include "engine/job.h"

#include <algorithm>
#include <utility>

#ifdef KEXA_GPU
#include "kernels/gpu_device.h"
#endif
#include "engine/split_device.h"
#include "device/vocabulary.h"
#include "cpu/cpu_device.h"
#include "cpu/cpu_experts.h"

namespace kexa {
namespace {

std::unique_ptr<Weights> make_weights(const ModelDescription& description, const PlanOptions& options,
                                      int64_t warm_limit, const LoadProgress& progress) {
  const ConversionPlace conversion = options.adapter.empty()      ? ConversionPlace::kHere
                                     : options.has_expert_slots() ? ConversionPlace::kExpertsHere
                                                                  : ConversionPlace::kOnDevice;
  return std::make_unique<Weights>(description, options.weight_type, conversion, warm_limit, progress);
}

std::unique_ptr<Device> make_device(const ModelDescription& description, const Weights& weights, const Plan& plan,
                                    const LoadProgress& progress) {
  const PlanOptions& options = plan.options;
  if (options.adapter.empty()) return std::make_unique<CpuDevice>(description, weights, plan);
#ifdef KEXA_GPU
  load_dawn(options.dawn_library);
  std::unique_ptr<HostExperts> host;
  if (options.has_host_experts()) host = std::make_unique<CpuExperts>(description, weights, options.threads);
  return std::make_unique<GpuDevice>(description, weights, plan,
                                     std::make_unique<Gpu>(GpuOptions{.wanted = options.adapter,
                                                                      .is_checked = options.is_checked,
                                                                      .dawn_identity = options.dawn_identity,
                                                                      .blob_folder = options.blob_folder}),
                                     std::move(host), progress);
#else
  (void)progress;
  throw Error("KEXA_NO_DEVICE",
              "device: wanted '" + options.adapter + "', but this addon was built without Dawn's header: CPU only");
#endif
}

// One device after the other; progress is told in bytes of the plan.
std::unique_ptr<Device> make_split_device(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                                          const LoadProgress& progress) {
  std::vector<SplitDevice::Member> members;
  int64_t done_bytes = 0;
  for (Part& from : make_parts(description, plan.options)) {
    const int64_t own_bytes = from.plan.memory.weight_bytes;
    const LoadProgress own_progress = [&](int64_t done, int64_t total) {
      const double share = total > 0 ? double(done) / double(total) : 1;
      progress(done_bytes + int64_t(share * double(own_bytes)), plan.memory.weight_bytes);
    };
    SplitDevice::Member member{.part = std::make_unique<Part>(std::move(from)), .weights = {}, .device = {}};
    const Part& part = *member.part;
    member.weights = make_weights(part.description, part.plan.options, warm_limit, own_progress);
    member.device = make_device(part.description, *member.weights, part.plan, own_progress);
    done_bytes += own_bytes;
    members.push_back(std::move(member));
  }
  return std::make_unique<SplitDevice>(std::move(members));
}

// The MTP block's part of the weights that a step of one row reads with it.
double mtp_share(const ModelDescription& description) {
  if (!description.mtp) return 0;
  const double hidden = description.hidden;
  const auto layer_weights = [&](const LayerDescription& layer) {
    const double attention = 2 * hidden * (description.q_width() + description.kv_width());
    if (!layer.is_moe) return attention + 3 * hidden * layer.ffn_width;
    const MoeDescription& moe = *description.moe;
    return attention + hidden * moe.experts + 3 * hidden * layer.ffn_width * (moe.top_k + moe.shared_experts);
  };
  double model = hidden * description.vocab;
  for (const LayerDescription& layer : description.layers) model += layer_weights(layer);
  const double block = 2 * hidden * hidden + layer_weights(*description.mtp);
  return block / (model + block);
}

// Whether weights are read in their files after they were loaded.
bool reads_files(const PlanOptions& options) {
  const auto is_cpu = [](const PartOptions& part) { return part.adapter.empty(); };
  if (options.parts.empty()) return options.adapter.empty() || options.has_expert_slots();
  return options.has_expert_slots() || std::any_of(options.parts.begin(), options.parts.end(), is_cpu);
}

}  // namespace

Profiling::Profiling(Device& device, bool is_wanted) : device_(device), is_on_(is_wanted) {
  if (is_on_) device_.start_profile();
}

Profiling::~Profiling() {
  try {
    if (is_on_) device_.take_profile();
  } catch (...) {
    // The job has already failed, or the next one will.
  }
}

void Profiling::add_to(std::optional<Profile>& total) {
  if (!std::exchange(is_on_, false)) return;
  const std::optional<Profile> profile = device_.take_profile();
  if (profile) (total ? *total : total.emplace()) += *profile;
}

LoadedModel::LoadedModel(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                         const LoadProgress& progress)
    : files(reads_files(plan.options) ? WatchedFiles(description.files) : WatchedFiles()),
      weights(plan.options.parts.empty() ? make_weights(description, plan.options, warm_limit, progress) : nullptr),
      slots(description, plan),
      device(weights ? make_device(description, *weights, plan, progress)
                     : make_split_device(description, plan, warm_limit, progress)),
      prefixes(description, plan, slots, *device),
      drafting(mtp_share(description)) {
  slots.set_make_pages([this](int pages) { return device->hold_pages(pages); });
  slots.set_reclaim([this] { return prefixes.drop_oldest(); });
  slots.set_copy_page([this, &description](int from, int to) {
    std::vector<std::byte> page(size_t(2 * kPageRows * device->cache_row_bytes()));
    for (int layer = 0; layer < description.layer_count(); ++layer) {
      if (description.layer(layer).window) continue;
      device->read_cache(layer, int64_t(from) * kPageRows, kPageRows, page);
      device->write_cache(layer, int64_t(to) * kPageRows, kPageRows, page);
    }
  });
}

int run_chunk(const JobContext& context, int slot, std::span<const int> ids, Step& step, const ForwardHooks& hooks,
              const std::function<void(int, int, std::vector<int>&)>& choose_logit_rows, int most_rows,
              bool is_prompt) {
  KvSlots& slots = context.model->slots;
  const int first = slots.length(slot), chunk = context.plan.options.prefill_chunk;
  const int bearable = std::max(kLeastChunk, int(kMostPairs / (first + chunk)));
  const int rows = std::min({chunk, bearable, most_rows > 0 ? most_rows : chunk});
  const int end = std::min(int(ids.size()), first + rows);
  slots.reserve(slot, end);
  step.rows.clear();
  step.logit_rows.clear();
  step.is_following = false;
  step.is_prompt = is_prompt;
  step.cancelled = hooks.cancelled;
  for (int position = first; position < end; ++position)
    step.rows.push_back({ids[position], slot, position, position + 1 < int(ids.size()) ? ids[position + 1] : 0});
  choose_logit_rows(first, end, step.logit_rows);
  // Told before the step: should it be cut off half-way, the rows it has overwritten are known to be gone.
  slots.begin_write(slot, end);
  forward(*context.model->device, context.description, step, slots, hooks);
  slots.end_write(slot, ids.subspan(first, end - first));
  return end - first;
}

LoadedModel& JobContext::loaded() const {
  if (!model) throw Error("KEXA_CLOSED", "the model is not loaded");
  return *model;
}

bool LoadJob::advance(const JobContext& context) {
  const LoadProgress report = [this](int64_t done, int64_t total) {
    if (channel().cancelled()) throw Cancelled{};
    channel().push(event::Progress{done, total});
  };
  context.model = std::make_unique<LoadedModel>(context.description, context.plan, warm_limit_, report);
  channel().push(event::Done{});
  return true;
}

int ForwardJob::most_rows(int position) const {
  return position < params_.lead_rows ? params_.lead_rows - position : params_.step_rows;
}

bool ForwardJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  Device& device = *model.device;
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (is_fresh) result_ = {};  // the slot was taken meanwhile: from the start
  Profiling profiling(device, params_.wants_profile);
  const bool wants_all_rows = params_.wants_all_logits || params_.wants_mtp;
  const int logit_rows = most_logit_rows(context.description, context.plan.options);

  ForwardHooks hooks{.cancelled = &channel().cancelled(), .after_layer = {}, .after_route = {}};
  if (params_.wants_trace) {
    result_.layers.resize(context.description.layers.size());
    hooks.after_layer = [&](int layer) { append(result_.layers[layer], device.residual()); };
    hooks.after_route = [&](int layer) {
      auto found = std::find_if(result_.routes.begin(), result_.routes.end(),
                                [&](const event::Route& route) { return route.layer == layer; });
      if (found == result_.routes.end()) found = result_.routes.insert(found, {layer, {}, {}});
      found->experts.insert(found->experts.end(), device.route_experts().begin(), device.route_experts().end());
      append(found->weights, device.route_weights());
    };
  }
  const auto choose_logit_rows = [&](int first, int end, std::vector<int>& logit_rows) {
    for (int position = std::max(first, params_.lead_rows - 1); position < end; ++position)
      if (wants_all_rows || position + 1 == int(ids_.size())) logit_rows.push_back(position - first);
  };
  const int first = model.slots.length(slot);
  const bool is_prompt = params_.step_rows == 0 || first < params_.lead_rows;
  int rows = most_rows(first);
  if (wants_all_rows) rows = std::min(rows > 0 ? rows : context.plan.options.prefill_chunk, logit_rows);
  run_chunk(context, slot, ids_, step_, hooks, choose_logit_rows, rows, is_prompt);
  const int end = model.slots.length(slot);
  const bool is_last = end == int(ids_.size());
  for (int i = 0; i < int(step_.logit_rows.size()); ++i)
    if (params_.wants_all_logits || (is_last && i + 1 == int(step_.logit_rows.size())))
      append(result_.logits, device.logits(i));
  if (params_.wants_trace) append(result_.hidden, device.hidden());
  // Where nothing is read back this waits: steps must not queue up faster than they run.
  if (step_.logit_rows.empty() && !params_.wants_trace) device.take(device.end_step());

  if (params_.wants_mtp) {
    // The very last row has no next token; what is computed for it in its place is dropped, and no other row sees it.
    forward_mtp(device, context.description, true,
                {.cancelled = &channel().cancelled(), .after_layer = {}, .after_route = {}});
    for (int i = 0; i < int(step_.logit_rows.size()) - (is_last ? 1 : 0); ++i)
      append(result_.mtp_logits, device.logits(i));
  }
  profiling.add_to(result_.profile);
  if (is_last) channel().push(std::move(result_));
  return is_last;
}

bool ScoreJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (is_fresh) result_.logprobs.clear();
  const ForwardHooks hooks{.cancelled = &channel().cancelled(), .after_layer = {}, .after_route = {}};
  const auto choose_logit_rows = [&](int first, int end, std::vector<int>& logit_rows) {
    for (int position = first; position < end; ++position)
      if (position + 1 < int(ids_.size())) logit_rows.push_back(position - first);
  };
  const int rows = run_chunk(context, slot, ids_, step_, hooks, choose_logit_rows,
                             most_logit_rows(context.description, context.plan.options));
  const int end = model.slots.length(slot);
  for (int i = 0; i < int(step_.logit_rows.size()); ++i) {
    const auto logits = model.device->logits(i);
    check_logits(logits, context.plan.options);
    result_.logprobs.push_back(LogNormalizer(logits).logprob(ids_[end - rows + i + 1]));
  }
  const bool is_last = end == int(ids_.size());
  if (is_last) channel().push(std::move(result_));
  return is_last;
}

bool ExpertHeatJob::advance(const JobContext& context) {
  channel().push(event::ExpertHeat{context.loaded().device->expert_heat()});
  return true;
}

bool ForceJob::advance(const JobContext& context) {
  force_(*context.loaded().device);
  channel().push(event::Done{});
  return true;
}

}  // namespace kexa
