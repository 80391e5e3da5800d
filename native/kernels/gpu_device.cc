#include "kernels/gpu_device.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "device/vocabulary.h"
#include "kernels/buffers/f16_range.h"

namespace kexa {
namespace {

template <typename Value>
void read_back(Gpu& gpu, const Buffer& from, size_t count, std::vector<Value>& to) {
  to.resize(count);
  gpu.read(from, std::as_writable_bytes(std::span(to)));
}

// Throws KEXA_NO_DEVICE if the GPU lacks a feature that `options` demands, and KEXA_UNSUPPORTED if the weights do not
// fit.
KernelChoice choose_kernels(const AdapterFacts& facts, const PlanOptions& options, const ModelDescription& description,
                            const Weights& weights) {
  const auto demand = [&](bool has, const char* what) {
    if (!has) throw Error("KEXA_NO_DEVICE", std::string("wanted ") + what + ", which " + facts.device + " lacks");
  };
  check_types(description, weights);
  const GpuKernels wanted = options.gpu_kernels;
  if (wanted == GpuKernels::kSubgroups) demand(facts.has_subgroups, "gpuKernels 'subgroups'");
  std::optional<MatrixKernels> matrices;
  if (wanted == GpuKernels::kMatrices) {
    demand(facts.has_subgroup_matrices && facts.has_subgroups && facts.has_f16, "gpuKernels 'matrices'");
    matrices = matrices_of(facts);
    demand(matrices.has_value(), "gpuKernels 'matrices' (f16 with f32 sums, of at most 16 by 16 by 16)");
  }
  if (options.gpu_elements == Type::kF16) demand(facts.has_f16, "gpuElements 'f16'");
  if (matrices) demand_f16_range(description, weights);
  return {.has_f16_elements = options.gpu_elements == Type::kF16,
          .has_subgroups = wanted != GpuKernels::kPlain && facts.has_subgroups,
          .has_dots = options.is_rounding,
          .matrices = matrices,
          .plain_ops = options.plain_ops};
}

std::optional<ExpertSlots> slots_of(const ModelDescription& description, const PlanOptions& options) {
  if (!options.has_expert_slots()) return std::nullopt;
  const MoeDescription& moe = *description.moe;
  return ExpertSlots(description.layer_count(), moe.experts, options.expert_slots, moe.top_k, options.expert_misses,
                     options.expert_heat);
}

}  // namespace

std::unique_ptr<Gpu> open_gpu(const PlanOptions& options) {
  load_dawn(options.dawn_library);
  return std::make_unique<Gpu>(GpuOptions{.wanted = options.adapter,
                                          .is_checked = options.is_checked,
                                          .vulkan_library = options.vulkan_library,
                                          .dawn_identity = options.dawn_identity,
                                          .blob_folder = options.blob_folder,
                                          .keeps_device = options.keeps_device});
}

GpuDevice::GpuDevice(const ModelDescription& description, const Weights& weights, const Plan& plan,
                     std::unique_ptr<Gpu> gpu, std::unique_ptr<HostExperts> host, const LoadProgress& progress)
    : description_(description),
      decode_rows_(plan.options.decode_rows()),
      kv_(plan.kv),
      held_pages_(plan.kv.grown_pages(0)),
      cache_row_bytes_(plan.kv.kv_heads * gpu_cache_head_bytes(plan.kv)),
      gpu_(std::move(gpu)),
      kernels_(*gpu_, choose_kernels(gpu_->facts(), plan.options, description, weights), step_places(plan.options)),
      expert_slots_(slots_of(description, plan.options)),
      weights_(*gpu_, description, weights, plan, expert_slots_ ? &*expert_slots_ : nullptr, progress),
      activations_(kernels_, description, plan),
      cache_copy_(gpu_->create_buffer(kCacheCopyLabel, uint64_t(plan.gpu.bytes_of(kCacheCopyLabel)))),
      uploaded_pages_(size_t(plan.kv.slots)) {
  for (int i = 0; i < description.layer_count(); ++i) layers_.push_back(make_layer(i, plan));
  if (expert_slots_)
    residency_ = std::make_unique<ExpertResidency>(ExpertResidency::Sources{.kernels = kernels_,
                                                                            .description = description,
                                                                            .weights = weights,
                                                                            .gpu_weights = weights_,
                                                                            .activations = activations_,
                                                                            .plan = plan},
                                                   *expert_slots_, std::move(host));
  if (description.part.has_start) embed_ = make_embed(activations_.residual, kRowToken);
  if (!description.part.has_end) return;
  make_end(plan);
  if (description.mtp) make_mtp();
}

GpuDevice::Layer GpuDevice::make_layer(int index, const Plan& plan) {
  const Activations& a = activations_;
  const GpuLayer& layer = weights_.layers[index];
  const bool is_post_norm = description_.is_post_norm();
  const int stride = padded(description_.hidden_size);
  Layer made{.attention = Attention(kernels_, description_, plan, index, weights_, a),
             .output = Matmul(kernels_, a, layer.o, {&a.attended, padded(description_.q_width()), true},
                              {is_post_norm ? &a.branch : &a.residual, stride},
                              {.adds = !is_post_norm, .op = "attention_output"}),
             .output_norm = {},
             .ffn = Ffn(FfnSources(kernels_, description_, plan, index, weights_, a))};
  if (is_post_norm)
    made.output_norm = make_rms_norm(kernels_, {.gain = layer.attention_norm,
                                                .x = a.branch,
                                                .y = a.residual,
                                                .size = description_.hidden_size,
                                                .epsilon = description_.norm_epsilon,
                                                .adds = true});
  return made;
}

BoundKernel GpuDevice::make_final_norm(const Buffer& gain) {
  return make_rms_norm(kernels_, {.gain = gain,
                                  .x = activations_.residual,
                                  .y = activations_.hidden,
                                  .size = description_.hidden_size,
                                  .epsilon = description_.norm_epsilon,
                                  .op = "final_norm"});
}

void GpuDevice::make_end(const Plan& plan) {
  const Activations& a = activations_;
  choosing_.emplace(kernels_, description_, plan, a);
  final_norm_ = make_final_norm(weights_.norm);
  head_ = Matmul(kernels_, a, description_.tied_head ? weights_.embed : weights_.head,
                 {&a.hidden, padded(description_.hidden_size)}, {&a.logits, description_.vocab_size},
                 {.is_gathered = true, .op = "head"});
}

void GpuDevice::make_mtp() {
  const Activations& a = activations_;
  const int hidden = description_.hidden_size, pair_stride = padded(2 * hidden);
  embed_next_ = make_embed(a.next_embedding, kRowNext);
  mtp_embedding_norm_ = make_rms_norm(kernels_, {.gain = weights_.mtp_embedding_norm,
                                                 .x = a.next_embedding,
                                                 .y = a.pair,
                                                 .size = hidden,
                                                 .epsilon = description_.norm_epsilon,
                                                 .y_stride = pair_stride});
  mtp_hidden_norm_ = make_rms_norm(kernels_, {.gain = weights_.mtp_hidden_norm,
                                              .x = a.hidden,
                                              .y = a.pair,
                                              .size = hidden,
                                              .epsilon = description_.norm_epsilon,
                                              .y_stride = pair_stride,
                                              .y_offset = hidden});
  mtp_fc_ = Matmul(kernels_, a, weights_.mtp_fc, {&a.pair, pair_stride}, {&a.residual, padded(hidden)},
                   {.op = "draft_input"});
  mtp_norm_ = make_final_norm(weights_.mtp_norm);
}

BoundKernel GpuDevice::make_embed(const Buffer& to, int token_field) {
  Prelude prelude = kernels_.prelude();
  prelude.weights(weights_.embed.type)
      .reads("weight", weights_.embed.type, weights_.embed.columns)
      .set("COLUMN_CHUNKS", weights_.embed.column_chunks())
      .set("ROW_WORDS", weights_.embed.row_words())
      .set("VOCAB", description_.vocab_size)
      .set("Y_STRIDE", padded(description_.hidden_size))
      .set("TOKEN_FIELD", token_field);
  return kernels_.make("embed", prelude, {read(weights_.embed.buffer), read(activations_.step), write(to)},
                       ceil_div(weights_.embed.column_chunks(), 64));
}

void GpuDevice::begin(const Step& step, const KvSlots& slots) {
  check_tokens(step, description_.vocab_size);
  if (int(step.groups.size()) > kv_.slots) throw Error("KEXA_INTERNAL", "a step has more groups than there are slots");
  if (!step.is_prompt && int(step.rows.size()) > decode_rows_)
    throw Error("KEXA_INTERNAL", "a step of answers has " + std::to_string(step.rows.size()) + " rows, of at most " +
                                     std::to_string(decode_rows_));
  gpu_->check();
  // An earlier step that was cut short may have left encoded dispatches, which still read the old step state.
  gpu_->submit();
  if (ticket_) gpu_->drop(*std::exchange(ticket_, {}));
  rows_ = int(step.rows.size());
  is_large_ = step.is_prompt;
  logit_rows_ = int(step.logit_rows.size());
  longest_ = 0;
  for (const Row& row : step.rows) longest_ = std::max(longest_, row.position + 1);
  mtp_rows_ = step.mtp_rows < 0 ? rows_ : step.mtp_rows;
  for (auto* copy : {&residual_copy_, &hidden_copy_, &logits_copy_, &weights_copy_}) copy->clear();
  experts_copy_.clear();
  find_groups(step);
  write_state(step);
  for (int slot = 0; slot < kv_.slots; ++slot) {
    const auto pages = slots.pages(slot);
    if (std::equal(pages.begin(), pages.end(), uploaded_pages_[slot].begin(), uploaded_pages_[slot].end())) continue;
    uploaded_pages_[slot].assign(pages.begin(), pages.end());
    if (!pages.empty())
      gpu_->write(activations_.pages, uint64_t(slot) * kv_.slot_pages * sizeof(uint32_t), std::as_bytes(pages));
  }
  const auto follows = [](const Group& group) { return group.is_following; };
  if (std::any_of(step.groups.begin(), step.groups.end(), follows))
    choosing_->run_follow(kernels_, int(step.groups.size()));
}

// Groups that choose come first, because their kernels run for the first groups. Groups that draft are the first of
// these.
void GpuDevice::find_groups(const Step& step) {
  groups_ = logit_groups(step);
  const auto others =
      std::stable_partition(groups_.begin(), groups_.end(), [](const LogitGroup& own) { return own.group.chooses; });
  choosing_groups_ = int(others - groups_.begin());
  drafts_made_ = 0;
}

int GpuDevice::drafting_groups() const {
  return int(std::count_if(groups_.begin(), groups_.end(),
                           [&](const LogitGroup& own) { return own.group.drafts > drafts_made_; }));
}

void GpuDevice::write_state(const Step& step) {
  const StepPlaces& places = kernels_.places();
  state_.assign(size_t(places.rows()) + size_t(rows_) * kStepRowWords, 0);
  state_[kStepRowCount] = uint32_t(rows_), state_[kStepLogitCount] = uint32_t(logit_rows_);
  state_[kStepGathered] = uint32_t(places.logit_rows());
  state_[kStepGroupCount] = uint32_t(step.groups.size()), state_[kStepMtpRows] = uint32_t(mtp_rows_);
  for (int r = 0; r < rows_; ++r) {
    const Row& row = step.rows[r];
    uint32_t* words = &state_[places.rows() + size_t(r) * kStepRowWords];
    words[kRowToken] = uint32_t(row.token), words[kRowSlot] = uint32_t(row.slot);
    words[kRowPosition] = uint32_t(row.position), words[kRowNext] = uint32_t(row.next);
  }
  size_t masks = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto& [group, first_logit, logits] = groups_[g];
    uint32_t* words = &state_[kStepGroups + g * kStepGroupWords];
    words[kGroupSlot] = uint32_t(group.slot), words[kGroupFirstRow] = uint32_t(group.first_row);
    words[kGroupRows] = uint32_t(group.rows), words[kGroupIsFollowing] = group.is_following;
    words[kGroupFirstLogit] = uint32_t(first_logit), words[kGroupLogits] = uint32_t(logits);
    words[kGroupDrafts] = uint32_t(group.drafts);
    words[kGroupChoices] = uint32_t(group.alternatives + 1);
    words[kGroupMask] = group.masks ? choosing_->add_masks(kernels_, *group.masks, masks) : 0;
    if (group.drafts) state_[size_t(places.draft_rows()) + g] = uint32_t(step.logit_rows[first_logit + logits - 1]);
  }
  for (int slot = 0; slot < places.slots; ++slot) state_[places.in_order() + slot] = uint32_t(slot);
  gpu_->write(activations_.step, 0, std::as_bytes(std::span(state_)));
  gpu_->write(activations_.step, places.logit_rows() * sizeof(uint32_t), std::as_bytes(std::span(step.logit_rows)));
}

void GpuDevice::embed() { kernels_.run(embed_, rows_); }

void GpuDevice::attention_input(int layer) { layers_[layer].attention.run_input(kernels_, step_rows()); }

void GpuDevice::attention(int layer) { layers_[layer].attention.run(kernels_, step_rows(), longest_); }

void GpuDevice::attention_output(int layer) {
  layers_[layer].output.run(kernels_, step_rows());
  if (layers_[layer].output_norm) kernels_.run(layers_[layer].output_norm, rows_);
  residual_copy_.clear();
}

void GpuDevice::dense_ffn(int layer) {
  layers_[layer].ffn.run(kernels_, step_rows());
  residual_copy_.clear();
}

void GpuDevice::route(int layer) {
  layers_[layer].ffn.run_route(kernels_, step_rows());
  experts_copy_.clear();
  weights_copy_.clear();
}

void GpuDevice::experts(int layer) {
  if (residency_)
    residency_->run(kernels_, layers_[layer].ffn, layer, step_rows());
  else
    layers_[layer].ffn.run(kernels_, step_rows());
  residual_copy_.clear();
}

void GpuDevice::final_norm(bool is_mtp) {
  kernels_.run(is_mtp ? mtp_norm_ : final_norm_, rows_);
  hidden_copy_.clear();
}

void GpuDevice::head() {
  if (logit_rows_) head_.run(kernels_, {logit_rows_, is_large_});
  logits_copy_.clear();
}

void GpuDevice::draft_input() {
  if (mtp_rows_ < rows_ && choosing_groups_ == 0) {
    // No choice has told the GPU how many rows the MTP block has.
    gpu_->submit();
    const uint32_t count[] = {uint32_t(mtp_rows_)};
    gpu_->write(activations_.step, kStepRowCount * sizeof(uint32_t), std::as_bytes(std::span(count)));
  }
  rows_ = mtp_rows_;
  kernels_.run(embed_next_, rows_);
  kernels_.run(mtp_embedding_norm_, rows_);
  kernels_.run(mtp_hidden_norm_, rows_);
  mtp_fc_.run(kernels_, step_rows());
  residual_copy_.clear();
}

void GpuDevice::begin_choosing(int slot, const SamplingParams& params, std::span<const int> ids, size_t prompt_size) {
  check_tokens(ids, description_.vocab_size);
  // Dispatches that are encoded but not submitted still read the old settings.
  gpu_->submit();
  choosing_->begin(kernels_, slot, params, ids, prompt_size);
}

uint64_t GpuDevice::logit_bytes(const LogitGroup& own) const {
  return own.group.wants_logits ? uint64_t(own.logits) * uint64_t(description_.vocab_size) * sizeof(float) : 0;
}

// A group chooses at most one token for each of its logit rows.
uint64_t GpuDevice::choice_bytes(const LogitGroup& own) const {
  return own.group.alternatives < 0 ? 0 : Choosing::choice_bytes(std::min(own.logits, kMaxDrafts + 1));
}

void GpuDevice::choose() {
  if (choosing_groups_ == 0) return;
  const std::span chosen(groups_.data(), size_t(choosing_groups_));
  uint64_t at = choosing_->record_bytes(), bytes = at;
  for (const LogitGroup& own : chosen) bytes += logit_bytes(own) + choice_bytes(own);
  if (!ticket_) ticket_ = gpu_->begin_read(bytes);
  for (const LogitGroup& own : chosen) {
    const uint64_t own_bytes = logit_bytes(own);
    if (own_bytes == 0) continue;
    // Copied now, because the logits of the MTP block will overwrite them.
    gpu_->read_part(*ticket_, at, activations_.logits, own_bytes / uint64_t(own.logits) * uint64_t(own.first_logit),
                    own_bytes);
    at += own_bytes;
  }
  choosing_->run_choose(kernels_, choosing_groups_);
  drafts_made_ = 0;
  logit_rows_ = drafting_groups();
}

void GpuDevice::choose_draft() {
  choosing_->run_draft(kernels_, drafting_groups());
  ++drafts_made_;
}

void GpuDevice::begin_draft() {
  // From the second draft on, each group has one row, in the groups' order. None needs to move.
  if (drafts_made_ == 1) choosing_->run_next_draft(kernels_);
  rows_ = mtp_rows_ = logit_rows_ = drafting_groups();
  is_large_ = false;
  ++longest_;
}

int GpuDevice::end_step() {
  if (!ticket_) return gpu_->read_later(activations_.step, 0, 0);
  const int ticket = *std::exchange(ticket_, {});
  gpu_->read_part(ticket, 0, choosing_->records(), 0, choosing_->record_bytes());
  const std::span chosen(groups_.data(), size_t(choosing_groups_));
  uint64_t at = choosing_->record_bytes();
  for (const LogitGroup& own : chosen) at += logit_bytes(own);
  for (const LogitGroup& own : chosen) {
    if (own.group.alternatives < 0) continue;
    gpu_->read_part(ticket, at, choosing_->records(), choosing_->choices_at(own.group.slot), choice_bytes(own));
    at += choice_bytes(own);
  }
  gpu_->end_read(ticket);
  ended_[ticket].assign(groups_.begin(), groups_.begin() + choosing_groups_);
  return ticket;
}

std::vector<Chosen> GpuDevice::take(int ticket) {
  const auto ended = ended_.extract(ticket);
  if (!ended) {
    gpu_->take(ticket, {});
    return {};
  }
  uint64_t at = choosing_->record_bytes(), choices_at = at, bytes = 0;
  for (const LogitGroup& own : ended.mapped()) choices_at += logit_bytes(own), bytes += choice_bytes(own);
  bytes += choices_at;
  std::vector<std::byte> read(bytes);
  gpu_->take(ticket, read);
  std::vector<Chosen> all;
  for (const LogitGroup& own : ended.mapped()) {
    Chosen& chosen = all.emplace_back();
    chosen.slot = own.group.slot;
    Choosing::Record record;
    std::memcpy(&record, &read[size_t(chosen.slot) * sizeof(record)], sizeof(record));
    choosing_->give(record, chosen);
    if (own.group.alternatives >= 0) {
      std::vector<uint32_t> choices(choice_bytes(own) / sizeof(uint32_t));
      std::memcpy(choices.data(), &read[choices_at], choice_bytes(own));
      choosing_->give_choices(choices, own.group.alternatives, chosen);
      choices_at += choice_bytes(own);
    }
    if (!own.group.wants_logits) continue;
    chosen.logits.resize(chosen.tokens.size() * size_t(description_.vocab_size));
    if (!chosen.logits.empty()) std::memcpy(chosen.logits.data(), &read[at], chosen.logits.size() * sizeof(float));
    at += logit_bytes(own);
  }
  return all;
}

void GpuDevice::drop(int ticket) {
  ended_.erase(ticket);
  gpu_->drop(ticket);
}

void GpuDevice::set_residual(std::span<const float> rows) {
  // Dispatches that are encoded but not submitted read the present contents.
  gpu_->submit();
  const size_t width = size_t(description_.hidden_size), stride = size_t(padded(description_.hidden_size));
  residual_copy_.assign(size_t(rows_) * stride, 0);
  for (size_t r = 0; r < size_t(rows_); ++r) std::copy_n(&rows[r * width], width, &residual_copy_[r * stride]);
  gpu_->write(activations_.residual, 0, std::as_bytes(std::span(residual_copy_)));
  residual_copy_.clear();
}

std::vector<Row> GpuDevice::rows() const {
  std::vector<int> words(size_t(rows_) * kStepRowWords);
  gpu_->read(activations_.step, std::as_writable_bytes(std::span(words)), kernels_.places().rows() * sizeof(uint32_t));
  std::vector<Row> rows;
  for (size_t at = 0; at < words.size(); at += kStepRowWords)
    rows.push_back({.token = words[at + kRowToken],
                    .slot = words[at + kRowSlot],
                    .position = words[at + kRowPosition],
                    .next = words[at + kRowNext]});
  return rows;
}

int GpuDevice::hold_pages(int pages) {
  if (pages <= held_pages_) return held_pages_;
  const int grown = kv_.grown_pages(pages);
  gpu_->check();
  try {
    for (Layer& layer : layers_) layer.attention.grow(*gpu_, gpu_cache_bytes(kv_, int64_t(grown) * kPageRows));
  } catch (const Error& error) {
    throw Error(error.code, "the KV cache cannot grow from " + std::to_string(held_pages_ * kPageRows) + " to " +
                                std::to_string(grown * kPageRows) + " tokens: " + error.what());
  }
  return held_pages_ = grown;
}

int GpuDevice::read_cache(std::span<const CacheRun> runs, size_t bytes) {
  const int ticket = gpu_->begin_read(bytes);
  for (const CacheRun& run : runs) {
    const Attention& attention = layers_[run.layer].attention;
    const uint64_t at = uint64_t(run.row * cache_row_bytes_), size = uint64_t(run.count * cache_row_bytes_);
    gpu_->read_part(ticket, run.keys_at, attention.keys(), at, size);
    gpu_->read_part(ticket, run.values_at, attention.values(), at, size);
  }
  gpu_->end_read(ticket);
  return ticket;
}

void GpuDevice::copy_cache(int layer, int64_t from, int64_t to, int count) {
  const Attention& attention = layers_[layer].attention;
  for (int first = 0; first < count; first += kPageRows) {
    const uint64_t bytes = uint64_t(std::min(count - first, kPageRows) * cache_row_bytes_);
    for (const Buffer* rows : {&attention.keys(), &attention.values()}) {
      gpu_->copy(*rows, uint64_t((from + first) * cache_row_bytes_), cache_copy_, 0, bytes);
      gpu_->copy(cache_copy_, 0, *rows, uint64_t((to + first) * cache_row_bytes_), bytes);
    }
  }
}

void GpuDevice::write_cache(int layer, int64_t row, int count, std::span<const std::byte> bytes) {
  const size_t size = size_t(count * cache_row_bytes_);
  const Attention& attention = layers_[layer].attention;
  // Dispatches that are encoded but not submitted read or write the present contents.
  gpu_->submit();
  gpu_->write(attention.keys(), uint64_t(row * cache_row_bytes_), bytes.first(size));
  gpu_->write(attention.values(), uint64_t(row * cache_row_bytes_), bytes.subspan(size, size));
}

static std::span<const float> without_padding(std::vector<float>& rows, int count, int width) {
  const int stride = padded(width);
  if (stride != width)
    for (int r = 1; r < count; ++r) std::copy_n(&rows[size_t(r) * stride], width, &rows[size_t(r) * width]);
  return {rows.data(), size_t(count) * width};
}

std::span<const float> GpuDevice::residual() const {
  if (!residual_copy_.empty()) return {residual_copy_.data(), size_t(rows_) * description_.hidden_size};
  read_back(*gpu_, activations_.residual, size_t(rows_) * padded(description_.hidden_size), residual_copy_);
  return without_padding(residual_copy_, rows_, description_.hidden_size);
}

std::span<const float> GpuDevice::hidden() const {
  if (!hidden_copy_.empty()) return {hidden_copy_.data(), size_t(rows_) * description_.hidden_size};
  read_back(*gpu_, activations_.hidden, size_t(rows_) * padded(description_.hidden_size), hidden_copy_);
  return without_padding(hidden_copy_, rows_, description_.hidden_size);
}

std::span<const float> GpuDevice::logits(int logit_row) const {
  if (logits_copy_.empty())
    read_back(*gpu_, activations_.logits, size_t(logit_rows_) * description_.vocab_size, logits_copy_);
  return {&logits_copy_[size_t(logit_row) * description_.vocab_size], size_t(description_.vocab_size)};
}

std::optional<ExpertTraffic> GpuDevice::expert_traffic() const {
  return residency_ ? std::optional(residency_->traffic()) : std::nullopt;
}

std::vector<float> GpuDevice::expert_heat() const {
  return expert_slots_ ? expert_slots_->heat() : std::vector<float>{};
}

std::span<const int> GpuDevice::route_experts() const {
  if (experts_copy_.empty())
    read_back(*gpu_, activations_.experts, size_t(rows_) * description_.moe->top_k, experts_copy_);
  return experts_copy_;
}

std::span<const float> GpuDevice::route_weights() const {
  if (weights_copy_.empty())
    read_back(*gpu_, activations_.expert_weights, size_t(rows_) * description_.moe->top_k, weights_copy_);
  return weights_copy_;
}

}  // namespace kexa
