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

Attention::Attention(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int index,
                     const GpuWeights& gpu_weights, const Activations& activations)
    : index_(index),
      window_(description.layer(index).window),
      head_norms_(description.qk_norm ? &gpu_weights.layers[index].head_norms : &gpu_weights.empty_buffer),
      activations_(&activations) {
  const LayerDescription& layer = description.layer(index);
  const GpuLayer& weights = gpu_weights.layers[index];
  const KvLayout& kv = plan.kv;
  const AdapterFacts& facts = kernels.gpu().facts();
  const int heads = description.heads, kv_heads = description.kv_heads, head_dim = description.head_dim;
  const int dims = padded(head_dim);  // a head's elements in the cache: whole chunks, because attention reads chunks
  const int stride = padded(description.hidden_size), attended_stride = padded(description.q_width());
  const int qkv_stride = padded(description.q_width() + 2 * description.kv_width());
  const int ring = kv.ring_rows[index];
  for (const auto& [buffer, label] : {std::pair{&keys_, label_of_keys(index)}, {&values_, label_of_values(index)}}) {
    const int64_t whole = plan.gpu.bytes_of(label);
    kernels.gpu().check_size(label, uint64_t(whole));
    *buffer = kernels.gpu().create_buffer(
        label, ring ? uint64_t(whole) : uint64_t(gpu_cache_bytes(kv, int64_t(kv.grown_pages(0)) * kPageRows)));
  }

  int first_output = 0;
  for (const GpuMatrix& matrix : weights.qkv) {
    qkv_.push_back(Matmul(kernels, activations, matrix, {&activations.residual, stride},
                          {&activations.qkv, qkv_stride, true, first_output},
                          {.gain = description.is_post_norm() ? nullptr : &weights.attention_norm,
                           .epsilon = description.norm_epsilon,
                           .op = "attention_input"},
                          gpu_weights.empty_buffer));
    first_output += matrix.rows;
  }

  const auto cache_of = [&](std::string_view op) {
    Prelude cache = kernels.prelude(op);
    return cache.set("HEADS", heads)
        .set("KV_HEADS", kv_heads)
        .set("HEAD_DIM", head_dim)
        .set("DIMS", dims)
        .set("QKV_STRIDE", qkv_stride)
        .set("RING", ring)
        .set("PAGES_PER_SLOT", kv.pages)
        .set("PAGE_ROWS", kPageRows)
        .set("TEAM", kAttentionBlock)
        .include("cache_row");
  };
  const int64_t head_bytes = gpu_cache_head_bytes(kv);
  Prelude input = cache_of("attention_input");
  input.set("HEAD_WORDS", int(head_bytes / 4))
      .cache_word(kv)
      .set("HAS_QK_NORM", description.qk_norm)
      .set("HAS_ROPE", layer.rope)
      .set("ROPE_LOW", kRopeLow)
      .set("EPSILON", description.norm_epsilon);
  heads_ = kernels.make("attention_input", input, input_bindings(), uint32_t(heads + 2 * kv_heads));

  // Makes the kernels for steps of up to `rows` rows, with `team_rows` rows to a team and at most `teams` teams to a
  // workgroup.
  const auto make = [&](std::string_view op, int parts, int team_rows, int teams, int rows) {
    const bool is_direct = parts == 1 && is_attention_direct(description);
    const int tiles = int(ceil_div(heads / kv_heads, kTeamHeads));  // groups of a KV head's query heads, one team each
    teams = std::min(teams, team_limit(facts, dims, team_rows));
    const int head_teams = std::min(tiles, teams);
    const int row_teams = std::min(teams / head_teams, int(ceil_div(rows, team_rows)));
    const int head_groups = int(ceil_div(tiles, head_teams));
    Prelude prelude = cache_of(op);
    prelude.cache_chunks(kv)
        .set("HEAD_WORDS", int(head_bytes / (is_quantized(kv.type) ? 4 : 16)))
        .set("CHUNKS", dims / 8)
        .set("WINDOW", layer.window)
        .set("PARTS", parts)
        .set("SCORE_SCALE", 1.0f / std::sqrt(float(head_dim)))
        .set("ATTENDED_STRIDE", attended_stride)
        .set("ROWS", team_rows)
        .set("TEAMS", head_teams * row_teams)
        .set("HEAD_TEAMS", head_teams)
        .set("HEAD_GROUPS", head_groups)
        .set("IS_DIRECT", is_direct)
        .alias("Out", is_direct ? "E4" : "vec4f");
    // Subgroups only if each lies within one team.
    const bool has_lanes = kernels.choice().has_subgroups_in(op) && facts.subgroup_min >= 4 &&
                           facts.subgroup_max <= uint32_t(kAttentionBlock);
    prelude.include(has_lanes ? "attention_subgroups" : "attention_plain");
    Size size{.parts = parts, .attend = {}, .reduce = {}};
    size.attend = kernels.make("attention", prelude, attend_bindings(is_direct), uint32_t(kv_heads * head_groups),
                               row_teams * team_rows);
    if (is_direct) return size;
    prelude = kernels.prelude();
    prelude.set("HEADS", heads)
        .set("HEAD_DIM", head_dim)
        .set("QUARTERS", dims / 4)
        .set("WINDOW", layer.window)
        .set("PARTS", parts)
        .set("KEY_BLOCK", kAttentionBlock)
        .set("ATTENDED_STRIDE", attended_stride)
        .set("THREADS", kReduceThreads);
    size.reduce =
        kernels.make("attention_reduce", prelude,
                     {read(activations.partial), read(activations.step), write(activations.attended)}, uint32_t(heads));
    return size;
  };
  const int parts = attention_parts(description, plan.options, index), chunk = plan.options.prefill_chunk;
  for_one_row_ = make("attention", parts, 1, kSmallStepTeams, 1);
  if (chunk > 1) for_few_rows_ = make("attention", parts, 1, kSmallStepTeams, kSmallRows);
  for_many_rows_ = make("attention large", 1, kLargeStepRows, kLargeStepTeams, chunk);
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
