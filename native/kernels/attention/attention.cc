#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "model/rope.h"
#include "plan/attention_parts.h"

namespace kexa {
namespace {

constexpr int kTeamHeads = 4;  // query heads of a team
constexpr int kReduceThreads = 256;
// Rows of a large step that share a team's loads. More would need more registers than they save loads.
constexpr int kLargeStepRows = 2;
constexpr int kSmallStepTeams = 8, kLargeStepTeams = 4;

// Bytes of workgroup memory for a team: queries and weights of its rows, maxima, places of keys, and scratch of the
// sums.
int team_bytes(int dims, int rows) { return 16 * (rows * (dims + kAttentionBlock + 16) + 5 * kAttentionBlock / 4); }

int team_limit(const AdapterFacts& facts, int dims, int rows) {
  return std::max(
      1, int(std::min(facts.max_invocations / kAttentionBlock, facts.max_workgroup_bytes / team_bytes(dims, rows))));
}

}  // namespace

// The sizes that a layer's attention kernels are made for, and what they are made with.
struct Attention::Sources {
  KernelSet& kernels;
  const ModelDescription& description;
  const LayerDescription& layer;
  const KvLayout& kv;
  int ring;        // rows of the layer's ring; 0 in a global layer
  int dims;        // a head's elements in the cache: whole chunks, because attention reads chunks
  int qkv_stride;  // elements of a row of Activations::qkv

  int64_t head_bytes() const { return gpu_cache_head_bytes(kv); }

  // The constants of a kernel that finds rows in the cache.
  Prelude prelude_of_cache(std::string_view op) const {
    Prelude prelude = kernels.prelude(op);
    prelude.set("HEADS", description.heads)
        .set("KV_HEADS", description.kv_heads)
        .set("HEAD_DIM", description.head_dim)
        .set("DIMS", dims)
        .set("QKV_STRIDE", qkv_stride)
        .set("RING", ring)
        .set("PAGES_PER_SLOT", kv.slot_pages)
        .set("PAGE_ROWS", kPageRows)
        .set("TEAM", kAttentionBlock)
        .include("cache_row");
    return prelude;
  }
};

Attention::Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int index,
                     const GpuWeights& gpu_weights, const Activations& activations)
    : index_(index),
      window_(description.layer(index).window),
      head_norms_(description.qk_norm ? &gpu_weights.layers[index].head_norms : &kernels.empty_buffer()),
      activations_(&activations) {
  const Sources from{.kernels = kernels,
                     .description = description,
                     .layer = description.layer(index),
                     .kv = plan.kv,
                     .ring = plan.kv.ring_rows[index],
                     .dims = padded(description.head_dim),
                     .qkv_stride = padded(description.q_width() + 2 * description.kv_width())};
  make_cache(from, plan.gpu);
  make_products(from, gpu_weights.layers[index]);
  make_heads(from);
  const int parts = attention_parts(description, plan.options, index);
  const int chunk = plan.options.prefill_chunk, decode_rows = plan.options.decode_rows();
  for_one_row_ = make_size(from, "attention", {.parts = parts, .team_rows = 1, .teams = kSmallStepTeams, .rows = 1});
  if (decode_rows > 1)
    for_few_rows_ =
        make_size(from, "attention", {.parts = parts, .team_rows = 1, .teams = kSmallStepTeams, .rows = decode_rows});
  for_many_rows_ = make_size(from, "attention large",
                             {.parts = 1, .team_rows = kLargeStepRows, .teams = kLargeStepTeams, .rows = chunk});
}

void Attention::make_cache(const Sources& from, const GpuPlan& plan) {
  Gpu& gpu = from.kernels.gpu();
  for (const auto& [buffer, label] : {std::pair{&keys_, label_of_keys(index_)}, {&values_, label_of_values(index_)}}) {
    const int64_t whole = plan.bytes_of(label);
    gpu.check_size(label, uint64_t(whole));
    const int64_t at_load = gpu_cache_bytes(from.kv, int64_t(from.kv.grown_pages(0)) * kPageRows);
    *buffer = gpu.create_buffer(label, uint64_t(from.ring ? whole : at_load));
  }
}

void Attention::make_products(const Sources& from, const GpuLayer& weights) {
  const ModelDescription& description = from.description;
  int first_output = 0;
  for (const GpuMatrix& matrix : weights.qkv) {
    qkv_.push_back(Matmul(from.kernels, *activations_, matrix,
                          {&activations_->residual, padded(description.hidden_size)},
                          {&activations_->qkv, from.qkv_stride, true, first_output},
                          {.gain = description.is_post_norm() ? nullptr : &weights.attention_norm,
                           .epsilon = description.norm_epsilon,
                           .op = "attention_input"}));
    first_output += matrix.rows;
  }
}

void Attention::make_heads(const Sources& from) {
  Prelude prelude = from.prelude_of_cache("attention_input");
  prelude.set("HEAD_WORDS", int(from.head_bytes() / 4))
      .cache_word(from.kv)
      .set("HAS_QK_NORM", from.description.qk_norm)
      .set("HAS_ROPE", from.layer.rope)
      .set("ROPE_LOW", kRopeLow)
      .set("EPSILON", from.description.norm_epsilon);
  heads_ = from.kernels.make("attention_input", prelude, input_bindings(),
                             uint32_t(from.description.heads + 2 * from.description.kv_heads));
}

Attention::Size Attention::make_size(const Sources& from, std::string_view op, const SizeOptions& options) const {
  const auto& [parts, team_rows, most_teams, rows] = options;
  const AdapterFacts& facts = from.kernels.gpu().facts();
  const int heads = from.description.heads, kv_heads = from.description.kv_heads;
  const bool is_direct = parts == 1 && is_attention_direct(from.description);
  const int tiles = int(ceil_div(heads / kv_heads, kTeamHeads));  // groups of a KV head's query heads, one team each
  const int teams = std::min(most_teams, team_limit(facts, from.dims, team_rows));
  const int head_teams = std::min(tiles, teams);
  const int row_teams = std::min(teams / head_teams, int(ceil_div(rows, team_rows)));
  const int head_groups = int(ceil_div(tiles, head_teams));
  Prelude prelude = from.prelude_of_cache(op);
  prelude.cache_chunks(from.kv)
      .set("HEAD_WORDS", int(from.head_bytes() / (is_quantized(from.kv.type) ? 4 : 16)))
      .set("CHUNKS", from.dims / 8)
      .set("WINDOW", from.layer.window)
      .set("PARTS", parts)
      .set("SCORE_SCALE", 1.0f / std::sqrt(float(from.description.head_dim)))
      .set("ATTENDED_STRIDE", padded(from.description.q_width()))
      .set("ROWS", team_rows)
      .set("TEAMS", head_teams * row_teams)
      .set("HEAD_TEAMS", head_teams)
      .set("HEAD_GROUPS", head_groups)
      .set("IS_DIRECT", is_direct)
      .alias("Out", is_direct ? "E4" : "vec4f");
  // Subgroups only if each lies within one team.
  const bool has_lanes = from.kernels.choice().has_subgroups_in(op) && facts.subgroup_min >= 4 &&
                         facts.subgroup_max <= uint32_t(kAttentionBlock);
  prelude.include(has_lanes ? "attention_subgroups" : "attention_plain");
  return {.parts = parts,
          .attend = from.kernels.make("attention", prelude, attend_bindings(is_direct),
                                      uint32_t(kv_heads * head_groups), row_teams * team_rows),
          .reduce = is_direct ? BoundKernel{} : make_reduce(from, parts)};
}

BoundKernel Attention::make_reduce(const Sources& from, int parts) const {
  Prelude prelude = from.kernels.prelude();
  prelude.set("HEADS", from.description.heads)
      .set("HEAD_DIM", from.description.head_dim)
      .set("QUARTERS", from.dims / 4)
      .set("WINDOW", from.layer.window)
      .set("PARTS", parts)
      .set("KEY_BLOCK", kAttentionBlock)
      .set("ATTENDED_STRIDE", padded(from.description.q_width()))
      .set("THREADS", kReduceThreads);
  return from.kernels.make("attention_reduce", prelude,
                           {read(activations_->partial), read(activations_->step), write(activations_->attended)},
                           uint32_t(from.description.heads));
}

std::vector<Binding> Attention::input_bindings() const {
  const Activations& a = *activations_;
  return {read(*head_norms_), read(a.rope), read(a.step), read(a.pages), write(a.qkv), write(keys_), write(values_)};
}

std::vector<Binding> Attention::attend_bindings(bool is_direct) const {
  const Activations& a = *activations_;
  return {read(a.qkv),  read(keys_),   read(values_),
          read(a.step), read(a.pages), write(is_direct ? a.attended : a.partial)};
}

void Attention::bind(Gpu& gpu) {
  heads_.group = gpu.bind(*heads_.kernel, input_bindings());
  for (Size* size : {&for_one_row_, &for_few_rows_, &for_many_rows_})
    if (size->attend) size->attend.group = gpu.bind(*size->attend.kernel, attend_bindings(!size->reduce));
}

void Attention::grow(Gpu& gpu, int64_t bytes) {
  if (window_) return;
  for (const auto& [buffer, label] : {std::pair{&keys_, label_of_keys(index_)}, {&values_, label_of_values(index_)}}) {
    if (int64_t(buffer->bytes) >= bytes) continue;
    Buffer larger = gpu.create_buffer(label, uint64_t(bytes));
    // Comes after the encoded work, which still uses the old buffer.
    gpu.copy(*buffer, 0, larger, 0, buffer->bytes);
    std::swap(*buffer, larger);
    bind(gpu);
    // Waits, so that no more than one outgrown buffer exists at a time.
    gpu.finish(*buffer);
    gpu.destroy(std::move(larger));
  }
}

void Attention::run_input(const KernelSet& kernels, const StepRows& rows) const {
  for (const Matmul& product : qkv_) product.run(kernels, rows);
  kernels.run(heads_, rows.count);
}

void Attention::run(const KernelSet& kernels, const StepRows& rows, int longest) const {
  const Size& size = rows.is_large ? for_many_rows_ : rows.count == 1 ? for_one_row_ : for_few_rows_;
  if (window_) longest = std::min(longest, window_);
  kernels.run(size.attend, rows.count, std::min<uint32_t>(size.parts, ceil_div(longest, kAttentionBlock)));
  if (size.reduce) kernels.run(size.reduce, rows.count);
}

}  // namespace kexa
